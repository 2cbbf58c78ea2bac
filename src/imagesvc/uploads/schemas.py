"""Response bodies and context fields of the upload routes, for the OpenAPI page. The routes themselves stream."""

import datetime as dt
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue

from imagesvc.links import examples
from imagesvc.links.schemas import RemainingLimit
from imagesvc.uploads.limits import UploadLimits


class FileResult(BaseModel):
    """What became of one file. `upload_id` is the receipt. Through a link there is no `image_id`."""

    index: int
    filename: str
    status: Literal["created", "duplicate", "rejected"]
    upload_id: UUID | None = None
    image_id: UUID | None = None
    sha256: str | None = None
    bytes: int | None = None
    url: str | None = None
    problem: dict[str, JsonValue] | None = None


class UploadAnswer(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "batch_id": "01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a11",
                    "warnings": [],
                    "results": [
                        {
                            "index": 0,
                            "filename": "a.jpg",
                            "status": "created",
                            "upload_id": "01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a12",
                            "image_id": "01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a13",
                            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                            "bytes": 48213,
                            "url": "/v1/images/01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a13",
                        }
                    ],
                }
            ]
        }
    )

    batch_id: UUID
    warnings: list[str]
    results: list[FileResult]


CONTEXT_FIELDS = {
    "captured_at": "capture time according to the device; RFC 3339 with an offset",
    "store_id": "at most 200 characters",
    "store_name": "at most 200 characters",
    "camera_id": "at most 200 characters",
    "barcode": "at most 200 characters",
    "title": "at most 300 characters; by default the filename without its extension",
    "description": "at most 5000 characters",
    "visibility": "`private` or `public`; through a link, the link decides",
    "sha256": "64 hexadecimal digits, verified; applies to the next file only",
}
"""The fields that describe a file. An empty value clears a field."""

CONTEXT_QUERY: list[dict[str, JsonValue]] = [
    {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": "string"}}
    for name, text in CONTEXT_FIELDS.items()
]


class LinkInvitation(BaseModel):
    """A link as its holder sees it."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.INVITATION]})

    label: str | None
    expires_at: dt.datetime
    remaining: RemainingLimit
    max_file_bytes: int
    max_parts_per_request: int
    limits: UploadLimits
    accepted: list[str]
