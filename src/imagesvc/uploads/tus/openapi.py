"""What the OpenAPI page tells of the protocol's headers: FastAPI knows nothing of them, routes read them themselves."""

from typing import Any

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
from imagesvc.uploads.tus.headers import OFFSET_STREAM, VERSION

ARRIVING = (
    *(TusHeader, TusVersion, NotOffsetStream, ChecksumMismatch, NotAnImage, DigestMismatch),
    *(UploadStalled, TooManyUploads, NoRoom, StorageAway, StillFinishing),
)
CREATION = (
    *(FileTooLarge, EmptyFile, BadContext, TooManyUnfinished, LinkUsedUp, LinkRoomTooSmall, LinkReserved),
    *ARRIVING,
)
APPENDING = (ResumableNotFound, UploadRefused, WrongOffset, TakenOver, TooManyBytes, *ARRIVING)
TELLING = (ResumableNotFound, UploadRefused, UploadLocked, TusVersion)


def _header(name: str, description: str, *, required: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": required,
        "description": description,
        "schema": {"type": "string"},
    }


def _headers(**descriptions: str) -> dict[str, Any]:
    return {
        name.replace("_", "-"): {"description": text, "schema": {"type": "string"}}
        for name, text in descriptions.items()
    }


_VERSION = _header("Tus-Resumable", f"`{VERSION}`", required=True)
_CHECKSUM = _header(
    "Upload-Checksum", f"{' or '.join(ALGORITHMS)}, a space, base64: none of the bytes counts unless it is right"
)
_BODY = {"content": {OFFSET_STREAM: {"schema": {"type": "string", "format": "binary"}}}}

CAPABILITIES: dict[str, Any] = {"description": "Needs no `Tus-Resumable`."}
CREATE: dict[str, Any] = {
    "parameters": [
        _VERSION,
        _header("Upload-Length", "bytes of the whole file", required=True),
        _header(
            "Upload-Metadata",
            "pairs of a key and base64, with commas between: `filename` and "
            + ", ".join(f"`{n}`" for n in CONTEXT_FIELDS),
        ),
        _CHECKSUM,
    ],
    "requestBody": {"required": False, "description": "the first bytes, or all", **_BODY},
}
APPEND: dict[str, Any] = {
    "parameters": [_VERSION, _header("Upload-Offset", "where the upload stands", required=True), _CHECKSUM],
    "requestBody": {"required": True, **_BODY},
}

_STANDING = _headers(
    Upload_Offset="how many bytes are stored",
    Upload_Expires="until when an unfinished upload can be gone on with",
    Imagesvc_Status="once all bytes are admitted: `created` or `duplicate`",
    Imagesvc_Upload_Id="the receipt",
    Imagesvc_Image_Id="the image; not told through a link",
    Imagesvc_Url="the image; through a link, how the file fares",
)
CREATED: dict[int | str, dict[str, Any]] = {
    201: {"description": "Created", "headers": _STANDING | _headers(Location="the upload")}
}
APPENDED: dict[int | str, dict[str, Any]] = {204: {"description": "All of it is stored", "headers": _STANDING}}
TOLD: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Where the upload stands",
        "headers": _STANDING | _headers(Upload_Length="bytes of the whole file", Upload_Metadata="as it was sent"),
    }
}
