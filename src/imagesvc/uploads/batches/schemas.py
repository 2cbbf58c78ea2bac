"""Request and response bodies of the batch routes, for the OpenAPI page. The routes themselves stream."""

import datetime as dt
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue

from imagesvc.uploads.models import Way
from imagesvc.uploads.schemas import CONTEXT_FIELDS


class BatchRendition(BaseModel):
    preset: str
    format: str
    width: int
    height: int
    bytes: int
    url: str


class BatchImage(BaseModel):
    id: UUID
    state: Literal["pending", "ready", "rejected", "failed"]
    problem: dict[str, JsonValue] | None
    visibility: Literal["private", "public"]
    title: str
    description: str | None
    media_type: str
    url: str
    original_url: str
    renditions: list[BatchRendition]


class BatchUpload(BaseModel):
    """A file of the batch with its position in the request and its context."""

    id: UUID
    position: int
    received_at: dt.datetime
    filename: str
    bytes: int
    duplicate: bool
    captured_at: dt.datetime | None
    store_id: str | None
    store_name: str | None
    camera_id: str | None
    barcode: str | None
    image: BatchImage


_IMAGE = "01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a13"
EXAMPLE: dict[str, JsonValue] = {
    "id": "01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a11",
    "created_at": "2026-11-20T09:15:02.123Z",
    "way": "batch",
    "owner_id": "00000000-0000-7000-8000-000000000001",
    "link_id": None,
    "rejected": 0,
    "uploads_total": 1,
    "uploads": [
        {
            "id": "01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a12",
            "position": 0,
            "received_at": "2026-11-20T09:15:02.123Z",
            "filename": "shelf.jpg",
            "bytes": 2931712,
            "duplicate": False,
            "captured_at": "2026-11-20T09:14:58Z",
            "store_id": "S1",
            "store_name": None,
            "camera_id": "c4",
            "barcode": None,
            "image": {
                "id": _IMAGE,
                "state": "pending",
                "problem": None,
                "visibility": "private",
                "title": "shelf",
                "description": None,
                "media_type": "image/jpeg",
                "url": f"/v1/images/{_IMAGE}",
                "original_url": f"/v1/images/{_IMAGE}/original",
                "renditions": [],
            },
        }
    ],
}


class BatchOut(BaseModel):
    """The uploads of one request. `rejected` files are only counted. Deleting an image also deletes its uploads.

    `uploads` are the first 25 in a list, and the first 1000 of a single batch. `GET /v1/images?batch_id=` has all.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    id: UUID
    created_at: dt.datetime
    way: Way
    owner_id: UUID
    link_id: UUID | None
    rejected: int
    uploads_total: int
    uploads: list[BatchUpload]


_ITEM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        **{name: {"type": ["string", "null"], "description": text} for name, text in CONTEXT_FIELDS.items()},
        "timestamp": {"type": ["string", "null"], "description": "another name of `captured_at`"},
        "sha256": {"type": ["string", "null"], "description": "64 hexadecimal digits, verified"},
        "visibility": {"type": ["string", "null"], "enum": ["private", "public", None], "default": "private"},
        "filename": {"type": ["string", "null"]},
        "file": {"type": "string", "format": "byte", "description": "the picture in base64 (RFC 4648, padded)"},
    },
}
_ARRAY = {"type": "array", "minItems": 1, "items": _ITEM}
BATCH_BODY: dict[str, Any] = {  # FastAPI's type of `openapi_extra`
    "requestBody": {
        "required": True,
        "description": "An object with `images`, or only the array. Members may have any order.",
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [{"type": "object", "required": ["images"], "properties": {"images": _ARRAY}}, _ARRAY]
                },
                "example": {
                    "images": [
                        {"filename": "shelf.jpg", "store_id": "S1", "camera_id": "c2", "file": "/9j/4AAQSkZJRgABAQ…"}
                    ]
                },
            }
        },
    }
}
