"""An image as its owner sees it, and the public view; built straight from the database's row."""

import datetime as dt
import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints, field_validator

from imagesvc.http.conditional import strong_etag
from imagesvc.images import examples

Row = Mapping[str, Any]


class Camera(BaseModel):
    make: str | None
    model: str | None
    lens: str | None


class Exposure(BaseModel):
    f_number: float | None
    seconds: float | None
    iso: int | None
    focal_length_mm: float | None


class Captured(BaseModel):
    """`local` is the camera's clock; with `offset_source` `unknown`, offset and UTC are null: never silently UTC."""

    local: str
    offset_minutes: int | None
    offset_source: Literal["exif", "gps", "store", "unknown"]
    utc: str | None


class Location(BaseModel):
    latitude: float
    longitude: float
    altitude_m: float | None


class RenditionOut(BaseModel):
    preset: str
    format: str
    width: int
    height: int
    bytes: int
    url: str


class UploadOut(BaseModel):
    """A file arrived."""

    id: UUID
    received_at: dt.datetime
    way: str
    filename: str
    duplicate: bool
    link_id: UUID | None
    batch_id: UUID | None
    captured_at: dt.datetime | None
    store_id: str | None
    store_name: str | None
    camera_id: str | None
    barcode: str | None


class ImageOut(BaseModel):
    """Absent knowledge is null. To others than the owner and admins all but the public view is null or empty."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.IMAGE]})

    id: UUID
    state: Literal["pending", "ready", "rejected", "failed"]
    problem: dict[str, Any] | None
    owner_id: UUID | None
    visibility: Literal["private", "public"]
    title: str
    description: str | None
    created_at: dt.datetime
    sha256: str | None
    bytes: int | None
    media_type: str
    width: int | None
    height: int | None
    stored_width: int | None
    stored_height: int | None
    orientation: int | None
    frames: int | None
    color_mode: str | None
    has_icc_profile: bool | None
    camera: Camera | None
    exposure: Exposure | None
    captured: Captured | None
    location: Location | None
    perimeter: int | None
    perceptual_hash: str | None
    score: dict[str, Any] | None
    notes: list[str]
    renditions: list[RenditionOut]
    original_url: str | None
    uploads: list[UploadOut]


class ImageChanges(BaseModel):
    """What may be changed. What is absent stays as it is; an empty description or null takes it away."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"visibility": "public"}]})

    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)] | None = None
    description: Annotated[str, StringConstraints(strip_whitespace=True, max_length=5000)] | None = None
    visibility: Literal["private", "public"] | None = None

    @field_validator("title", "visibility", mode="before")
    @classmethod
    def _not_null(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("Give a value or leave it out")
        return value

    @field_validator("title", "description")
    @classmethod
    def _no_nul(cls, value: str | None) -> str | None:
        if value is not None and "\x00" in value:
            raise ValueError("NUL is not allowed")
        return value

    def members(self) -> dict[str, str | None]:
        """Those that were given."""
        given = self.model_dump(exclude_unset=True)
        return {name: value or None for name, value in given.items()}


class UploadWithImage(UploadOut):
    model_config = ConfigDict(json_schema_extra={"examples": [examples.UPLOAD | {"image": examples.IMAGE}]})

    image: ImageOut


PUBLIC = (
    "id",
    "state",
    "visibility",
    "title",
    "description",
    "created_at",
    "media_type",
    "width",
    "height",
    "score",
    "renditions",
)
"""The public view of a public image; every other member is null or empty."""
HIDDEN: dict[str, Any] = {
    name: ([] if name in {"notes", "uploads"} else None) for name in ImageOut.model_fields if name not in PUBLIC
}


NOT_YET: dict[str, Any] = dict.fromkeys(
    (
        *("width", "height", "stored_width", "stored_height", "orientation", "frames", "color_mode", "has_icc_profile"),
        *("camera_make", "camera_model", "lens", "f_number", "exposure_seconds", "iso", "focal_length_mm"),
        *("captured_local", "latitude", "longitude", "altitude_m", "perceptual_hash", "score", "notes", "renditions"),
    )
)
"""What is known of a blob and not told of an image that is pending: else a new image of content that somebody else has
would show at once that it is known (invariant 5)."""


def image_out(row: Row, *, is_full: bool) -> dict[str, Any]:
    """The members of an answer about one image (ImageOut), ready for JSON; without ``is_full`` the public view."""
    if row["state"] == "pending":
        row = {**row, **NOT_YET}
    url = f"/v1/images/{row['id']}"
    shown = {
        "id": str(row["id"]),
        "state": row["state"],
        "visibility": row["visibility"],
        "title": row["title"],
        "description": row["description"],
        "created_at": moment(row["created_at"]),
        "media_type": row["media_type"],
        "width": row["width"],
        "height": row["height"],
        "score": row["score"],
        "renditions": [
            {
                "preset": preset,
                "format": form,
                "width": width,
                "height": height,
                "bytes": size,
                "url": f"{url}/renditions/{preset}.{form}",
            }
            for preset, form, width, height, size in row["renditions"] or ()
        ],
    }
    if not is_full:
        return HIDDEN | shown
    full = shown | {
        "problem": row["problem"],
        "owner_id": str(row["owner_id"]),
        "sha256": row["sha256"].hex(),
        "bytes": row["bytes"],
        **{name: row[name] for name in ("stored_width", "stored_height", "orientation", "frames", "color_mode")},
        "has_icc_profile": row["has_icc_profile"],
        "camera": _any({"make": row["camera_make"], "model": row["camera_model"], "lens": row["lens"]}),
        "exposure": _any(
            {
                "f_number": row["f_number"],
                "seconds": row["exposure_seconds"],
                "iso": row["iso"],
                "focal_length_mm": row["focal_length_mm"],
            }
        ),
        "captured": _captured(row),
        "location": None
        if row["latitude"] is None
        else {"latitude": row["latitude"], "longitude": row["longitude"], "altitude_m": row["altitude_m"]},
        "perimeter": None if row["width"] is None else 2 * (row["width"] + row["height"]),
        "perceptual_hash": None if row["perceptual_hash"] is None else f"{row['perceptual_hash'] & (2**64 - 1):016x}",
        "notes": row["notes"] or [],
        "original_url": f"{url}/original",
        "uploads": [_nested(upload) for upload in row["uploads"] or []],
    }
    return {name: full[name] for name in ImageOut.model_fields}


UPLOAD_TIMES = ("received_at", "captured_at")


def upload_out(row: Row) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, UUID) else moment(value) if isinstance(value, dt.datetime) else value
        for name, value in row.items()
        if name in UploadOut.model_fields
    }


def _nested(upload: dict[str, Any]) -> dict[str, Any]:
    """One of the uploads that come with the image as JSON, with PostgreSQL's own way of writing times."""
    times = {name: dt.datetime.fromisoformat(upload[name]) for name in UPLOAD_TIMES if upload[name] is not None}
    return {**upload, **{name: moment(value) for name, value in times.items()}}


def _captured(row: Row) -> dict[str, Any] | None:
    local = row["captured_local"]
    if local is None:
        return None
    return {
        "local": local.isoformat(timespec="milliseconds"),
        "offset_minutes": row["captured_offset_minutes"],
        "offset_source": row["captured_offset_source"] or "unknown",
        "utc": moment(row["captured_utc"]),
    }


def _any(members: dict[str, Any]) -> dict[str, Any] | None:
    return members if any(value is not None for value in members.values()) else None


def moment(value: dt.datetime | None) -> str | None:
    """RFC 3339 in UTC, to the millisecond."""
    if value is None:
        return None
    return value.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_json(content: dict[str, Any]) -> bytes:
    """An answer as it is sent."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def etag_of(body: bytes) -> str:
    """The strong tag of an answer: it changes with everything that the answer tells, and with nothing else."""
    return strong_etag(sha256(body).hexdigest()[:32])


class Receipt(BaseModel):
    """What a link's uploader may know about a file: how it fared, never whose image it became or where it was taken."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.RECEIPT]})

    id: UUID
    filename: str
    bytes: int
    received_at: dt.datetime
    duplicate: bool
    state: Literal["pending", "ready", "rejected", "failed"]
    problem: dict[str, Any] | None
    defects: list[str]
    hint: str | None
    thumbnail_url: str | None
