"""Describes the headers of tus for the OpenAPI page. FastAPI does not know them: the routes read them from the request.

The types with ``Any`` are those of FastAPI's ``responses`` and ``openapi_extra``.
"""

from typing import Any

from imagesvc.http.problems import Responses
from imagesvc.http.slow_clients import UploadStalled
from imagesvc.links.errors import LinkReserved, LinkRoomTooSmall, LinkUsedUp
from imagesvc.storage.bucket import StorageAway
from imagesvc.uploads.errors import (
    BadContext,
    DigestMismatch,
    EmptyFile,
    FileTooLarge,
    NoRoom,
    NotAnImage,
    TooManyUploads,
)
from imagesvc.uploads.schemas import CONTEXT_FIELDS
from imagesvc.uploads.tus.checksum import ALGORITHMS
from imagesvc.uploads.tus.errors import (
    ChecksumMismatch,
    NotOffsetStream,
    ResumableNotFound,
    StillFinishing,
    TakenOver,
    TooManyBytes,
    TooManyUnfinished,
    TusHeader,
    TusVersion,
    UploadLocked,
    UploadRefused,
    WrongOffset,
)
from imagesvc.uploads.tus.headers import MAX_DIGITS, OFFSET_STREAM, VERSION

BODY_PROBLEMS = (
    *(TusHeader, TusVersion, NotOffsetStream, ChecksumMismatch, NotAnImage, DigestMismatch),
    *(UploadStalled, TooManyUploads, NoRoom, StorageAway, StillFinishing),
)
CREATION_PROBLEMS = (
    *(FileTooLarge, EmptyFile, BadContext, TooManyUnfinished, LinkUsedUp, LinkRoomTooSmall, LinkReserved),
    *BODY_PROBLEMS,
)
APPEND_PROBLEMS = (ResumableNotFound, UploadRefused, WrongOffset, TakenOver, TooManyBytes, *BODY_PROBLEMS)
STATUS_PROBLEMS = (ResumableNotFound, UploadRefused, UploadLocked, TusVersion)


def _header(name: str, description: str, *, required: bool = False, **schema: object) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": required,
        "description": description,
        "schema": {"type": "string", **schema},
    }


def _headers(**descriptions: str) -> dict[str, Any]:
    return {
        name.replace("_", "-"): {"description": text, "schema": {"type": "string"}}
        for name, text in descriptions.items()
    }


_VERSION = _header("Tus-Resumable", f"`{VERSION}`", required=True, enum=[VERSION])
_BYTES = {"pattern": rf"^[0-9]{{1,{MAX_DIGITS}}}$"}
_CHECKSUM = _header(
    "Upload-Checksum",
    f"{' or '.join(ALGORITHMS)}, a space, base64; the bytes count only when they match",
    pattern=rf"^({'|'.join(ALGORITHMS)}) [A-Za-z0-9+/]+=*$",
)
_BODY = {"content": {OFFSET_STREAM: {"schema": {"type": "string", "format": "binary"}}}}

CAPABILITIES: dict[str, Any] = {"description": "Does not require `Tus-Resumable`."}
CREATE: dict[str, Any] = {
    "parameters": [
        _VERSION,
        _header("Upload-Length", "bytes of the whole file", required=True, **_BYTES),
        _header(
            "Upload-Metadata",
            "pairs of a key and base64, separated by commas: `filename` and "
            + ", ".join(f"`{n}`" for n in CONTEXT_FIELDS),
            pattern=r"^([A-Za-z0-9_-]+( [A-Za-z0-9+/]*=*)?(,[A-Za-z0-9_-]+( [A-Za-z0-9+/]*=*)?)*)?$",
        ),
        _CHECKSUM,
    ],
    "requestBody": {"required": False, "description": "the first bytes, or all bytes", **_BODY},
}
VERSION_ONLY: dict[str, Any] = {"parameters": [_VERSION]}
APPEND: dict[str, Any] = {
    "parameters": [
        _VERSION,
        _header("Upload-Offset", "the current offset of the upload", required=True, **_BYTES),
        _CHECKSUM,
    ],
    "requestBody": {"required": True, **_BODY},
}

_PROGRESS = _headers(
    Upload_Offset="number of stored bytes",
    Upload_Expires="when an unfinished upload expires",
    Imagesvc_Status="after admission: `created` or `duplicate`",
    Imagesvc_Upload_Id="the receipt",
    Imagesvc_Image_Id="the image; absent through a link",
    Imagesvc_Url="the image; through a link, the receipt",
)
CREATED: Responses = {201: {"description": "Created", "headers": _PROGRESS | _headers(Location="the upload")}}
APPENDED: Responses = {204: {"description": "All bytes of the request are stored", "headers": _PROGRESS}}
STATUS: Responses = {
    200: {
        "description": "The progress of the upload, or its result",
        "headers": _PROGRESS | _headers(Upload_Length="bytes of the whole file", Upload_Metadata="as it was sent"),
    }
}
