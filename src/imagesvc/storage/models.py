"""The table of keys that nothing owns."""

import datetime as dt
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from imagesvc.db import Base


class LooseObject(Base):
    """A key that may exist in the bucket while nothing owns it.

    `held`: a writer is on its way in, may begin requests until ``not_before``. `reaping`: the object is to be deleted.
    `gone`: a tombstone that outlasts any request begun before, after which the key is deleted once more and forgotten.
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
