"""The tables of blobs, images, renditions, perceptual hashes and shares, and the values of their columns."""

import datetime as dt
from typing import Literal, TypedDict, get_args
from uuid import UUID

from sqlalchemy import CheckConstraint, Computed, DateTime, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from imagesvc.db import Base
from imagesvc.processing.facts import ScoreJson

State = Literal["pending", "ready", "rejected", "failed"]
Visibility = Literal["private", "public"]
OffsetSource = Literal["exif", "gps", "store", "unknown"]
"""The source of the offset from UTC of a capture time."""


def _is_one_of(column: str, kind: object) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in get_args(kind))})"


class ProblemJson(TypedDict):
    """Why processing ended without a result, as stored. ``type`` is a path below ``/problems/``."""

    type: str
    title: str
    detail: str | None


class Blob(Base):
    """One distinct content, and the facts that are derived from its bytes alone.

    ``scope`` is all zeros when content is shared between owners, else the owner's id (``IMAGESVC_DEDUPE_SCOPE``).
    ``object_lost`` is set when a read found no object under ``key``: the next upload of this content stores a new one.
    """

    __tablename__ = "blobs"
    __table_args__ = (UniqueConstraint("sha256", "scope"), CheckConstraint(_is_one_of("state", State), name="state"))

    id: Mapped[UUID] = mapped_column(primary_key=True)
    sha256: Mapped[bytes]
    scope: Mapped[UUID]
    bytes: Mapped[int]
    media_type: Mapped[str]
    key: Mapped[str] = mapped_column(unique=True)
    state: Mapped[str] = mapped_column(server_default="pending")
    problem: Mapped[ProblemJson | None] = mapped_column(JSONB)
    object_lost: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    processed_at: Mapped[dt.datetime | None]

    width: Mapped[int | None]
    height: Mapped[int | None]
    stored_width: Mapped[int | None]
    stored_height: Mapped[int | None]
    orientation: Mapped[int | None]
    frames: Mapped[int | None]
    color_mode: Mapped[str | None]
    has_icc_profile: Mapped[bool | None]
    camera: Mapped[str | None]
    camera_make: Mapped[str | None]
    camera_model: Mapped[str | None]
    camera_make_raw: Mapped[str | None]
    camera_model_raw: Mapped[str | None]
    lens: Mapped[str | None]
    f_number: Mapped[float | None]
    exposure_seconds: Mapped[float | None]
    iso: Mapped[int | None]
    focal_length_mm: Mapped[float | None]
    captured_local: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=False))
    captured_offset_minutes: Mapped[int | None]
    captured_offset_source: Mapped[str | None]
    latitude: Mapped[float | None]
    longitude: Mapped[float | None]
    altitude_m: Mapped[float | None]
    perceptual_hash: Mapped[int | None]
    score: Mapped[ScoreJson | None] = mapped_column(JSONB)
    notes: Mapped[list[str] | None]


class Image(Base):
    """One owner's image of a blob. Media type and camera are copied from the blob: statistics count images by them.

    The columns from ``filenames`` on serve the search: copies of the blob's facts (``score`` is -1 while there is
    none), and columns that the database computes from them. Each index lists the filtered column first and the sort
    key after it, so that a page is read in order.
    """

    __tablename__ = "images"
    __table_args__ = (
        UniqueConstraint("owner_id", "blob_id"),
        CheckConstraint(_is_one_of("state", State), name="state"),
        CheckConstraint(_is_one_of("visibility", Visibility), name="visibility"),
        Index(None, "blob_id"),
        Index(None, "visibility", "created_at", "id"),
        Index(None, "owner_id", "visibility", "created_at", "id"),
        Index(None, "visibility", "score", "id", postgresql_include=["owner_id", "created_at"]),
        Index(None, "owner_id", "captured_order", "id", postgresql_include=["visibility", "created_at"]),
        Index(
            None,
            *("captured_order", "id"),
            postgresql_include=["owner_id", "visibility", "created_at"],
            postgresql_where=text("captured_order > '0001-01-02 00:00:00+00'"),
        ),
        Index(None, "owner_id", "place", postgresql_where=text("place IS NOT NULL")),
        Index(None, "place", postgresql_where=text("place IS NOT NULL")),
        Index(None, "media_type", "visibility", "created_at", "id", postgresql_include=["owner_id"]),
        Index(
            None,
            *("state", "visibility", "created_at", "id"),
            postgresql_include=["owner_id"],
            postgresql_where=text("state <> 'ready'"),
        ),
        Index(
            "images_camera_created_at_id_idx",
            *(text("camera_key(camera)"), "visibility", "created_at", "id"),
            postgresql_include=["owner_id"],
            postgresql_where=text("camera IS NOT NULL"),
        ),
        Index(
            "images_grams_idx",
            text("search_grams(words, names)"),
            postgresql_using="gin",
            postgresql_with={"gin_pending_list_limit": 512},
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    blob_id: Mapped[UUID] = mapped_column(ForeignKey("blobs.id"))
    state: Mapped[str] = mapped_column(server_default="pending")
    problem: Mapped[ProblemJson | None] = mapped_column(JSONB)
    visibility: Mapped[str] = mapped_column(server_default="private")
    title: Mapped[str]
    description: Mapped[str | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    media_type: Mapped[str]
    camera: Mapped[str | None]
    captured_local: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=False))
    captured_offset_minutes: Mapped[int | None]
    captured_offset_source: Mapped[str | None]
    captured_utc: Mapped[dt.datetime | None]

    filenames: Mapped[list[str]] = mapped_column(server_default=text("'{}'::text[]"))
    score: Mapped[int] = mapped_column(server_default=text("-1"))
    latitude: Mapped[float | None]
    longitude: Mapped[float | None]
    words: Mapped[str] = mapped_column(
        Computed("search_text(title || chr(10) || coalesce(description, ''))", persisted=True), deferred=True
    )
    names: Mapped[str] = mapped_column(Computed("search_names(filenames)", persisted=True), deferred=True)
    captured_order: Mapped[dt.datetime] = mapped_column(
        Computed(
            "greatest(coalesce(captured_utc, captured_local AT TIME ZONE 'UTC'),"
            " '0001-01-02 00:00:00+00'::timestamptz)",
            persisted=True,
        ),
        deferred=True,
    )
    place: Mapped[int | None] = mapped_column(
        Computed("place_code(latitude, longitude)", persisted=True), deferred=True
    )


class Rendition(Base):
    """A derived image. ``sha256`` is the hash of the rendition's own bytes and becomes its ETag."""

    __tablename__ = "renditions"

    blob_id: Mapped[UUID] = mapped_column(ForeignKey("blobs.id"), primary_key=True)
    preset: Mapped[str] = mapped_column(primary_key=True)
    format: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    width: Mapped[int]
    height: Mapped[int]
    sha256: Mapped[bytes]
    bytes: Mapped[int]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class PerceptualHash(Base):
    """A blob's perceptual hash, with one index for each of its four bands (``processing/hash_bands.py``).

    The hashes have a table of their own because rows of ``blobs`` are updated: an index-only scan has to visit the
    table for every page that was updated since the last vacuum.
    """

    __tablename__ = "perceptual_hashes"
    __table_args__ = tuple(
        Index(
            f"perceptual_hashes_band_{shift}_idx",
            *(text(f"((hash >> {shift}) & 65535)"), "hash"),
            postgresql_include=["blob_id"],
        )
        for shift in (48, 32, 16, 0)
    )

    blob_id: Mapped[UUID] = mapped_column(ForeignKey("blobs.id"), primary_key=True)
    hash: Mapped[int]


class Share(Base):
    """The right of every holder of a token to see one rendition of an image, or its original if ``preset`` is null."""

    __tablename__ = "shares"
    __table_args__ = (
        CheckConstraint("(preset IS NULL) = (format IS NULL)", name="what"),
        Index(None, "image_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    image_id: Mapped[UUID] = mapped_column(ForeignKey("images.id"))
    preset: Mapped[str | None]
    format: Mapped[str | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[dt.datetime]
