"""The tables of arrivals: uploads, and the batches that they came in."""

import datetime as dt
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from imagesvc.db import Base


class Batch(Base):
    """The uploads of one request. ``rejected`` counts the files of it that were not taken."""

    __tablename__ = "batches"
    __table_args__ = (Index(None, "owner_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    link_id: Mapped[UUID | None] = mapped_column(ForeignKey("links.id"))
    way: Mapped[str]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    rejected: Mapped[int] = mapped_column(server_default="0")


class Upload(Base):
    """A file arrived. ``settled`` turns true when processing has ended for it: until then its receipt says `pending`,
    even when the owner had this image before (a link must not learn that).

    ``image_created_at`` is copied from the image by the database: the order in which a search lists images."""

    __tablename__ = "uploads"
    __table_args__ = (
        CheckConstraint("way IN ('link', 'user', 'batch', 'tus', 'job')", name="way"),
        Index(None, "image_id"),
        Index(None, "batch_id", "position"),
        *(
            Index(
                None,
                *(name, "image_created_at", "image_id"),
                postgresql_include=["owner_id"],
                postgresql_where=text(f"{name} IS NOT NULL"),
            )
            for name in ("store_id", "store_name", "camera_id", "barcode", "link_id")
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    image_id: Mapped[UUID] = mapped_column(ForeignKey("images.id"))
    link_id: Mapped[UUID | None] = mapped_column(ForeignKey("links.id"))
    batch_id: Mapped[UUID | None] = mapped_column(ForeignKey("batches.id"))
    position: Mapped[int] = mapped_column(server_default="0")
    way: Mapped[str]
    filename: Mapped[str]
    bytes: Mapped[int]
    duplicate: Mapped[bool]
    settled: Mapped[bool]
    received_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    image_created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    captured_at: Mapped[dt.datetime | None]
    store_id: Mapped[str | None]
    store_name: Mapped[str | None]
    camera_id: Mapped[str | None]
    barcode: Mapped[str | None]
