"""Tables: links with their limits, use and reservations, and the contents that each link has charged."""

import datetime as dt
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from imagesvc.db import Base


class Link(Base):
    """A right to upload. ``used + reserved <= max`` holds at every commit (invariant 4)."""

    __tablename__ = "links"
    __table_args__ = (
        CheckConstraint("max_files IS NULL OR used_files + reserved_files <= max_files", name="files"),
        CheckConstraint("max_bytes IS NULL OR used_bytes + reserved_bytes <= max_bytes", name="bytes"),
        CheckConstraint("reserved_files >= 0 AND reserved_bytes >= 0", name="reserved"),
        Index(None, "owner_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    label: Mapped[str | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[dt.datetime]
    revoked_at: Mapped[dt.datetime | None]
    max_files: Mapped[int | None]
    max_bytes: Mapped[int | None]
    max_file_bytes: Mapped[int | None]
    used_files: Mapped[int] = mapped_column(server_default="0")
    used_bytes: Mapped[int] = mapped_column(server_default="0")
    reserved_files: Mapped[int] = mapped_column(server_default="0")
    reserved_bytes: Mapped[int] = mapped_column(server_default="0")
    visibility: Mapped[str] = mapped_column(server_default="private")
    store_id: Mapped[str | None]
    camera_id: Mapped[str | None]


class LinkContent(Base):
    """A content that a link was charged for, once per link. The row stays when the image is deleted."""

    __tablename__ = "link_contents"

    link_id: Mapped[UUID] = mapped_column(ForeignKey("links.id"), primary_key=True)
    sha256: Mapped[bytes] = mapped_column(primary_key=True)
    bytes: Mapped[int]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
