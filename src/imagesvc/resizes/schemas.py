"""What goes in and out of the resize routes."""

import datetime as dt
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from imagesvc.processing.contract import MAX_RESIZE_SIDE, Resize

_TOKEN = "8f14e45f-ceea-5a67-8a36-dedd4bea2543"  # noqa: S105 - an example
_STATUS_URL = f"/v1/resizes/{_TOKEN}"


class NewResize(BaseModel):
    """What is wanted beside the file. ``image_id`` names an image of the caller's in the file's place."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_id: UUID | None = None
    width: Annotated[int, Field(ge=1, le=MAX_RESIZE_SIDE)] = 100
    height: Annotated[int, Field(ge=1, le=MAX_RESIZE_SIDE)] = 100
    fit: Literal["contain", "cover", "fill"] = "contain"
    format: Literal["webp", "jpg", "avif", "png"] = "jpg"
    quality: Annotated[int, Field(ge=1, le=100)] = 80

    @property
    def work(self) -> Resize:
        """For the sandbox."""
        return Resize.model_validate(self.model_dump(exclude={"image_id"}))


class ResizeTaken(BaseModel):
    """The work is done once, however often the same is asked for."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"success": True, "token": _TOKEN, "status_url": _STATUS_URL}]}
    )

    success: Literal[True] = True
    token: UUID
    status_url: str

    @classmethod
    def of(cls, token: UUID) -> Self:
        return cls(token=token, status_url=f"/v1/resizes/{token}")


class ResizeProblem(BaseModel):
    type: str
    title: str
    detail: str | None


class ResizeOut(BaseModel):
    """How far a resize is. `error` says why there is none; `expires_at` is null while the work goes on."""

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


_SIZE = {"type": "integer", "minimum": 1, "maximum": MAX_RESIZE_SIDE, "default": 100}
_PARAMETERS: dict[str, Any] = {
    "width": {**_SIZE, "description": "of the box, in pixels"},
    "height": {**_SIZE, "description": "of the box, in pixels"},
    "fit": {
        "type": "string",
        "enum": ["contain", "cover", "fill"],
        "default": "contain",
        "description": "`contain` stays within the box and is never enlarged, `cover` fills it and cuts off what "
        "stands over, `fill` stretches",
    },
    "format": {"type": "string", "enum": ["jpg", "webp", "avif", "png"], "default": "jpg"},
    "quality": {"type": "integer", "minimum": 1, "maximum": 100, "default": 80},
}
_IMAGE_ID = {"type": "string", "format": "uuid", "description": "an image of yours, in the place of a file"}
RESIZE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One of `image` (or a `file` part) and `image_id`; the order of members and parts is free.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "image": {"type": "string", "format": "byte", "description": "in base64 (RFC 4648, padded)"},
                        "image_id": _IMAGE_ID,
                        **_PARAMETERS,
                    },
                },
                "example": {"image": "/9j/4AAQSkZJRgABAQ…", "width": 100, "height": 100, "fit": "cover"},
            },
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {**_PARAMETERS, "file": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}
