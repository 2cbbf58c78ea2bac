"""The tables of uploads and batches, and the list of ways to upload a file."""

import datetime as dt
from typing import Literal, get_args
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from imagesvc.db import Base

Way = Literal["link", "user", "batch", "tus", "job"]
"""How a file was uploaded: through a link, by a user, in a JSON batch, as a resumable upload, or fetched by a job."""


def _quoted(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


class Batch(Base):
    """The uploads of one request. ``rejected`` counts the files of the request that were refused."""

    __tablename__ = "batches"
    __table_args__ = (Index(None, "owner_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    link_id: Mapped[UUID | None] = mapped_column(ForeignKey("links.id"))
    way: Mapped[str]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    rejected: Mapped[int] = mapped_column(server_default="0")


class Upload(Base):
    """One file that was received.

    ``settled`` becomes true when processing has ended for this upload. Until then its receipt shows `pending`, even
    when the owner already had the image: a link must not reveal that.
    The database copies ``image_created_at`` from the image; a search lists images in that order.
    """

    __tablename__ = "uploads"
    __table_args__ = (
        CheckConstraint(f"way IN ({_quoted(get_args(Way))})", name="way"),
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
