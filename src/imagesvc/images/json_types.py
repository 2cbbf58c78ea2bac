"""The JSON of an image, an upload and a receipt, as types.

This is the one description of these bodies: FastAPI derives the OpenAPI schemas from it, the type checker holds the
code in `image_json.py` against it, and a test the examples. They are typed dictionaries, not pydantic models, because
the reads send what the database returned without building and validating objects (docs/performance.md).
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import ConfigDict, WithJsonSchema, with_config

# pydantic needs this TypedDict below Python 3.12
from typing_extensions import TypedDict

from imagesvc.images import examples
from imagesvc.images.models import OffsetSource, State, Visibility

Id = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339 in UTC, to the millisecond."""


class Camera(TypedDict):
    make: str | None
    model: str | None
    lens: str | None


class Exposure(TypedDict):
    f_number: float | None
    seconds: float | None
    iso: int | None
    focal_length_mm: float | None


class Captured(TypedDict):
    """`local` is the camera's clock; with `offset_source` `unknown`, offset and UTC are null: never silently UTC."""

    local: str
    offset_minutes: int | None
    offset_source: OffsetSource
    utc: str | None


class Location(TypedDict):
    latitude: float
    longitude: float
    altitude_m: float | None


class RenditionOut(TypedDict):
    preset: str
    format: str
    width: int
    height: int
    bytes: int
    url: str


class UploadOut(TypedDict):
    """A file arrived."""

    id: Id
    received_at: Time
    way: str
    filename: str
    duplicate: bool
    link_id: Id | None
    batch_id: Id | None
    captured_at: Time | None
    store_id: str | None
    store_name: str | None
    camera_id: str | None
    barcode: str | None


@with_config(ConfigDict(json_schema_extra={"examples": [examples.IMAGE]}))
class ImageOut(TypedDict):
    """Absent knowledge is null. To others than the owner and admins all but the public view is null or empty."""

    id: Id
    state: State
    problem: Mapping[str, object] | None
    owner_id: Id | None
    visibility: Visibility
    title: str
    description: str | None
    created_at: Time
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
    score: Mapping[str, object] | None
    notes: list[str]
    renditions: list[RenditionOut]
    original_url: str | None
    uploads: list[UploadOut]


@with_config(ConfigDict(json_schema_extra={"examples": [examples.UPLOAD | {"image": examples.IMAGE}]}))
class UploadWithImage(UploadOut):
    image: ImageOut


@with_config(ConfigDict(json_schema_extra={"examples": [examples.RECEIPT]}))
class Receipt(TypedDict):
    """What a link's uploader may know about a file: how it fared, never whose image it became or where it was taken."""

    id: Id
    filename: str
    bytes: int
    received_at: Time
    duplicate: bool
    state: State
    problem: Mapping[str, object] | None
    defects: list[str]
    hint: str | None
    thumbnail_url: str | None
