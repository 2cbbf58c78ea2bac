"""Request and response bodies of the resize routes."""

import datetime as dt
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from imagesvc.http.public_path import public_path
from imagesvc.processing.contract import MAX_RESIZE_SIDE, Fit, Resize, ResizeFormat

_TOKEN = "8f14e45f-ceea-5a67-8a36-dedd4bea2543"  # noqa: S105 - an example
_STATUS_URL = f"/v1/resizes/{_TOKEN}"
_DEFAULTS = Resize()


class ResizeParameters(BaseModel):
    """The box, in pixels, and how the image fits into it; see ``Resize``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: Annotated[int, Field(ge=1, le=MAX_RESIZE_SIDE)] = _DEFAULTS.width
    height: Annotated[int, Field(ge=1, le=MAX_RESIZE_SIDE)] = _DEFAULTS.height
    fit: Fit = _DEFAULTS.fit
    format: ResizeFormat = _DEFAULTS.format
    quality: Annotated[int, Field(ge=1, le=100)] = _DEFAULTS.quality


class NewResize(ResizeParameters):
    """What a request contains beside the file. ``image_id`` names an image to resize instead of a file."""

    image_id: UUID | None = None

    @property
    def work(self) -> Resize:
        """The request to the sandbox."""
        return Resize(**self.model_dump(exclude={"image_id"}))


class ResizeTaken(BaseModel):
    """Where to find the status. The same request again gets the same token, and the work is done once."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"success": True, "token": _TOKEN, "status_url": _STATUS_URL}]}
    )

    success: Literal[True] = True
    token: UUID
    status_url: str

    @classmethod
    def of(cls, token: UUID) -> Self:
        return cls(token=token, status_url=public_path(f"/v1/resizes/{token}"))


class ResizeProblem(BaseModel):
    type: str
    title: str
    detail: str | None


class ResizeOut(BaseModel):
    """The status of a resize. `error` is the reason of a failure. `expires_at` is null until the resize has ended."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "token": _TOKEN,
                    "status": "SUCCESS",
                    "resized_image_url": f"{_STATUS_URL}/result",
                    "error": None,
                    "format": "jpg",
                    "width": 100,
                    "height": 75,
                    "bytes": 2875,
                    "created_at": "2026-11-20T09:00:00Z",
                    "expires_at": "2026-11-21T09:00:00Z",
                }
            ]
        }
    )

    token: UUID
    status: Literal["PENDING", "STARTED", "SUCCESS", "FAILURE"]
    resized_image_url: str | None
    error: ResizeProblem | None
    format: str
    width: int | None
    height: int | None
    bytes: int | None
    created_at: dt.datetime
    expires_at: dt.datetime | None


_DESCRIPTIONS = {
    "width": "width of the box, in pixels",
    "height": "height of the box, in pixels",
    "fit": "`contain` keeps the image within the box and never enlarges it, `cover` fills the box and crops what is "
    "outside, `fill` stretches the image to the box",
}


def _parameters() -> dict[str, JsonValue]:
    """The OpenAPI schemas of the parameters. Their types, limits and defaults come from ``ResizeParameters``."""
    properties: dict[str, dict[str, JsonValue]] = ResizeParameters.model_json_schema()["properties"]
    for name, schema in properties.items():
        del schema["title"]
        if isinstance(values := schema.get("enum"), list):
            schema["enum"] = sorted(values, key=lambda value: value != schema["default"])  # the default first
        if name in _DESCRIPTIONS:
            schema["description"] = _DESCRIPTIONS[name]
    return dict(properties)


_PARAMETERS = _parameters()
_IMAGE: JsonValue = {"type": "string", "format": "byte", "description": "in base64 (RFC 4648, padded)"}
_IMAGE_ID: JsonValue = {"type": "string", "format": "uuid", "description": "one of your images, instead of a file"}
_FILE: JsonValue = {"type": "string", "format": "binary"}
RESIZE_BODY: dict[str, JsonValue] = {
    "requestBody": {
        "required": True,
        "description": "Either `image` (or a `file` part) or `image_id`, and the parameters, in any order.",
        "content": {
            "application/json": {
                "schema": {"type": "object", "properties": {"image": _IMAGE, "image_id": _IMAGE_ID, **_PARAMETERS}},
                "example": {"image": "/9j/4AAQSkZJRgABAQ…", "width": 100, "height": 100, "fit": "cover"},
            },
            "multipart/form-data": {"schema": {"type": "object", "properties": {**_PARAMETERS, "file": _FILE}}},
        },
    }
}
"""The part of the OpenAPI operation that describes the request body, which the route reads as a stream."""
