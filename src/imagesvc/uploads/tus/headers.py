"""Parses and formats the headers of tus. Independent of FastAPI: the routes pass the values."""

import base64
import binascii
from collections.abc import Iterable
from email.utils import format_datetime
from uuid import UUID

from imagesvc.http.public_path import public_path
from imagesvc.uploads.tus.checksum import ALGORITHMS
from imagesvc.uploads.tus.errors import TusHeader, TusVersion
from imagesvc.uploads.tus.queries import ResumableRow

VERSION = "1.0.0"
EXTENSIONS = ("creation", "creation-with-upload", "expiration", "termination", "checksum")
OFFSET_STREAM = "application/offset+octet-stream"
MAX_METADATA_BYTES = 48 * 1024
"""Enough for every context field at its maximum length, with four bytes per character, as base64."""
MAX_DIGITS = 18
REQUEST_HEADERS = frozenset(
    {"upload-length", "upload-defer-length", "upload-offset", "upload-metadata", "upload-checksum", "upload-expires"}
)
"""All headers of requests that begin with `Upload-` and are read, refused by themselves or without a meaning."""

COMMON_HEADERS = {"Tus-Resumable": VERSION, "Cache-Control": "no-store"}
EXPOSED = (
    "Location",
    "Tus-Resumable",
    "Tus-Version",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Checksum-Algorithm",
    "Upload-Offset",
    "Upload-Length",
    "Upload-Expires",
    "Upload-Metadata",
    "Imagesvc-Status",
    "Imagesvc-Upload-Id",
    "Imagesvc-Image-Id",
    "Imagesvc-Url",
    "Imagesvc-Problem",
)
"""The headers that a client in a browser needs from an answer of another origin."""


def capabilities(*, max_file_bytes: int) -> dict[str, str]:
    """The headers of the answer to OPTIONS."""
    return COMMON_HEADERS | {
        "Tus-Version": VERSION,
        "Tus-Extension": ",".join(EXTENSIONS),
        "Tus-Max-Size": str(max_file_bytes),
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
    }


def require_version(value: str | None) -> None:
    """Raises TusVersion."""
    if value != VERSION:
        found = "no Tus-Resumable header" if value is None else "another version"
        raise TusVersion(
            f"The request has {found}: `Tus-Resumable: {VERSION}` is required.", headers={"Tus-Version": VERSION}
        )


def refuse_unknown_extensions(names: Iterable[str]) -> None:
    """Raises TusHeader for a header of an extension that is not offered, because ignoring it changes the meaning.

    A part of a concatenated upload, for example, would count as a whole file. ``names`` are in lower case.
    """
    unknown = sorted(name for name in names if name.startswith("upload-") and name not in REQUEST_HEADERS)
    if unknown:
        name = unknown[0].title()
        hint = " Send the file as one upload (tus-js-client: parallelUploads: 1)." if name == "Upload-Concat" else ""
        raise TusHeader(f"{name} belongs to an extension that is not supported: see Tus-Extension of OPTIONS.{hint}")


def upload_length(value: str | None, *, deferred: str | None) -> int:
    """Raises TusHeader."""
    if deferred is not None:
        raise TusHeader("Upload-Defer-Length is not supported: send Upload-Length when the upload is created.")
    return _byte_count("Upload-Length", value)


def upload_offset(value: str | None) -> int:
    """Raises TusHeader."""
    return _byte_count("Upload-Offset", value)


def _byte_count(name: str, value: str | None) -> int:
    if value is None:
        raise TusHeader(f"{name} is required.")
    if not (value.isascii() and value.isdigit()) or len(value) > MAX_DIGITS:
        raise TusHeader(f"{name} is not a number of bytes.")
    return int(value)


def parse_metadata(value: str) -> dict[str, str]:
    """Upload-Metadata: keys, each with a value in base64 of UTF-8 or without a value. Raises TusHeader."""
    if len(value) > MAX_METADATA_BYTES:
        raise TusHeader(f"Upload-Metadata may have {MAX_METADATA_BYTES} bytes.")
    fields: dict[str, str] = {}
    for pair in value.split(",") if value.strip() else ():
        name, _, encoded = pair.strip().partition(" ")
        if not name or not name.isascii() or name in fields:
            raise TusHeader("Upload-Metadata requires a unique ASCII key in each pair.")
        try:
            fields[name] = base64.b64decode(encoded.strip(), validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError) as error:
            raise TusHeader(f"Upload-Metadata: the value of {name!r} is not base64.") from error
    return fields


def progress(upload: ResumableRow) -> dict[str, str]:
    """The offset of an unfinished upload and its expiry."""
    return {
        "Upload-Offset": str(upload.upload_offset),
        "Upload-Expires": format_datetime(upload.expires_at, usegmt=True),
    }


def result(
    *, length: int, status: str | None, upload_id: UUID | None, image_id: UUID | None, link_path: str | None
) -> dict[str, str]:
    """The result of a finished upload. Through a link, no image id is shown."""
    headers = {
        "Upload-Offset": str(length),
        "Imagesvc-Status": str(status),
        "Imagesvc-Upload-Id": str(upload_id),
    }
    if link_path is not None:
        return headers | {"Imagesvc-Url": f"{link_path}/uploads/{upload_id}"}
    return headers | {
        "Imagesvc-Image-Id": str(image_id),
        "Imagesvc-Url": public_path(f"/v1/images/{image_id}"),
    }
