"""The table of loose objects."""

import datetime as dt
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from imagesvc.db import Base


class LooseObject(Base):
    """A key that may exist in the bucket while nothing owns it.

    `held`: a writer may begin requests until ``not_before``. `reaping`: the object has to be deleted. `gone`: a
    tombstone that lasts longer than any request begun before; then the object and the row are deleted.
    ``reserved_files`` and ``reserved_bytes`` are reserved on the link ``link_id`` until the row ends.
    """

    __tablename__ = "loose_objects"
    __table_args__ = (
        CheckConstraint("state IN ('held', 'reaping', 'gone')", name="state"),
        Index(None, "state", "not_before"),
    )

    key: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    not_before: Mapped[dt.datetime]
    s3_upload_id: Mapped[str | None]
    link_id: Mapped[UUID | None] = mapped_column(ForeignKey("links.id"))
    reserved_files: Mapped[int] = mapped_column(server_default="0")
    reserved_bytes: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
