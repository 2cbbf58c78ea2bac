"""The JSON of an image, an upload and a receipt, as types.

This is the only description of these bodies. FastAPI derives the OpenAPI schemas from it, the type checker compares the
code in `image_json.py` with it, and a test compares the examples. The types are typed dictionaries and not pydantic
models: the reads encode what the database returned, and building validated objects would only cost time.
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
    """`local` is the camera's clock. If `offset_source` is `unknown`, `offset_minutes` and `utc` are null."""

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
    """One upload of a file."""

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
    """Unknown values are null. For others than the owner and admins, all but the public view is null or empty."""

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
    """What a link's uploader may know about a file: the state of its processing, but neither owner nor location."""

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
