"""Reads of images, uploads, originals, renditions and receipts. All use asyncpg: one statement for each answer.

A statement on behalf of a caller takes the caller: the id, and whether an admin.
"""
# ruff: noqa: S608 - the statements are put together from constants of this service

import dataclasses
import datetime as dt
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

import asyncpg

from imagesvc.images.json_types import UploadOut
from imagesvc.images.models import OffsetSource, ProblemJson, State, Visibility
from imagesvc.processing.contract import LONG_SIDE
from imagesvc.processing.facts import ScoreJson

MAX_UPLOADS = 100
"""How many of an image's uploads its JSON contains, the newest first."""


def _time(column: str) -> str:
    """A time as the JSON of this service writes it (``json_types.Time``)."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS {column}"""


UPLOAD_JSON = f"""
    id, {_time("received_at")}, way, filename, duplicate, link_id, batch_id, {_time("captured_at")},
    store_id, store_name, camera_id, barcode
"""
"""The members of ``json_types.UploadOut``, as columns."""

IMAGE = f"""
    -- $1 the caller's id or NULL, $2 whether an admin
    SELECT i.id, i.owner_id, i.xmin::text AS version, i.state, i.problem, i.visibility, i.title, i.description,
        i.created_at, i.media_type,
        i.captured_local, i.captured_offset_minutes, i.captured_offset_source, i.captured_utc,
        b.sha256, b.bytes, b.width, b.height, b.stored_width, b.stored_height, b.orientation, b.frames,
        b.color_mode, b.has_icc_profile, b.camera_make, b.camera_model, b.lens, b.f_number, b.exposure_seconds, b.iso,
        b.focal_length_mm, b.latitude, b.longitude, b.altitude_m, b.perceptual_hash, b.score, b.notes,
        (SELECT json_agg(json_build_array(r.preset, r.format, r.width, r.height, r.bytes)
                         ORDER BY r.width, array_position('{{{",".join(LONG_SIDE)}}}', r.preset), r.format)
         FROM rendition_names(b.id, b.width, b.height) r) AS renditions,
        (SELECT json_agg(u) FROM (
            SELECT {UPLOAD_JSON}
            FROM uploads WHERE image_id = i.id AND ($2 OR i.owner_id = $1) ORDER BY id DESC LIMIT {MAX_UPLOADS}
         ) u) AS uploads
    FROM images i JOIN blobs b ON b.id = i.blob_id
"""


class ImageRow(NamedTuple):
    """A row of IMAGE. ``version`` changes with every change of the image's row.

    A tuple, because a search returns up to 200 of them: a frozen dataclass of so many fields takes eight times as long
    to build (5 microseconds).
    """

    id: UUID
    owner_id: UUID
    version: str
    state: State
    problem: ProblemJson | None
    visibility: Visibility
    title: str
    description: str | None
    created_at: dt.datetime
    media_type: str
    captured_local: dt.datetime | None
    captured_offset_minutes: int | None
    captured_offset_source: OffsetSource | None
    captured_utc: dt.datetime | None
    sha256: bytes
    bytes: int
    width: int | None
    height: int | None
    stored_width: int | None
    stored_height: int | None
    orientation: int | None
    frames: int | None
    color_mode: str | None
    has_icc_profile: bool | None
    camera_make: str | None
    camera_model: str | None
    lens: str | None
    f_number: float | None
    exposure_seconds: float | None
    iso: int | None
    focal_length_mm: float | None
    latitude: float | None
    longitude: float | None
    altitude_m: float | None
    perceptual_hash: int | None
    score: ScoreJson | None
    notes: list[str] | None
    renditions: list[tuple[str, str, int, int, int]] | None
    """Preset, format, width, height and size in bytes of each."""
    uploads: list[UploadOut] | None


_image_columns = itemgetter(*ImageRow._fields)


def image_row(record: asyncpg.Record) -> ImageRow:
    """Return the columns of IMAGE in a record, which may have others beside them."""
    return ImageRow._make(_image_columns(record))


OWNER_EXISTS = "NOT EXISTS (SELECT FROM users o WHERE o.id = i.owner_id AND o.deleted_at IS NOT NULL)"
"""False for the images of an account that is being removed: they are hidden at once and deleted in the background."""

IMAGE_FOR_READER = IMAGE + f"WHERE i.id = $3 AND ($2 OR i.owner_id = $1 OR i.visibility = 'public') AND {OWNER_EXISTS}"
"""$1 the caller's id or NULL, $2 whether an admin, $3 the image."""

UPLOAD_OF = f"""
    -- $1 caller, $2 admin, $3 upload
    SELECT image_id, (SELECT row_to_json(u) FROM (SELECT {UPLOAD_JSON}) u) AS upload
    FROM uploads WHERE id = $3 AND ($2 OR owner_id = $1)
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UploadRow:
    """A row of UPLOAD_OF."""

    image_id: UUID
    upload: UploadOut


ORIGINAL_OF = f"""
    -- $1 caller, $2 admin, $3 image
    SELECT b.key, b.sha256, b.bytes, b.media_type, b.object_lost, i.title,
           (SELECT u.filename FROM uploads u WHERE u.image_id = i.id ORDER BY u.id LIMIT 1) AS filename
    FROM images i JOIN blobs b ON b.id = i.blob_id WHERE i.id = $3 AND ($2 OR i.owner_id = $1) AND {OWNER_EXISTS}
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OriginalRow:
    """A row of ORIGINAL_OF. ``filename`` is that of the image's first upload."""

    key: str
    sha256: bytes
    bytes: int
    media_type: str
    object_lost: bool
    title: str
    filename: str | None


RENDITION_FOR_READER = f"""
    -- $1 caller or NULL, $2 admin, $3 image, $4 preset, $5 format
    -- A pending image has no renditions yet, even if another account has the same content.
    SELECT i.id AS image_id, i.state, i.visibility, i.blob_id, r.key, r.sha256, r.bytes
    FROM images i JOIN blobs b ON b.id = i.blob_id
    LEFT JOIN LATERAL rendition_named(b.id, b.width, b.height, $4, $5) r ON i.state <> 'pending'
    WHERE i.id = $3 AND ($2 OR i.owner_id = $1 OR i.visibility = 'public') AND {OWNER_EXISTS}
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RenditionRow:
    """A row of RENDITION_FOR_READER. ``key``, ``sha256`` and ``bytes`` are None when the rendition does not exist."""

    image_id: UUID
    state: State
    visibility: Visibility
    blob_id: UUID
    key: str | None
    sha256: bytes | None
    bytes: int | None


RECEIPT = """
    -- $1 link, $2 upload; what the uploader may know about a file that was uploaded through this link
    SELECT u.id, u.filename, u.bytes, u.received_at, u.duplicate,
           CASE WHEN u.settled THEN i.state ELSE 'pending' END AS state,
           CASE WHEN u.settled THEN i.problem END AS problem,
           CASE WHEN u.settled THEN b.score END AS score
    FROM uploads u JOIN images i ON i.id = u.image_id JOIN blobs b ON b.id = i.blob_id
    WHERE u.id = $2 AND u.link_id = $1
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptRow:
    """A row of RECEIPT."""

    id: UUID
    filename: str
    bytes: int
    received_at: dt.datetime
    duplicate: bool
    state: State
    problem: ProblemJson | None
    score: ScoreJson | None


RECEIPT_THUMB = """
    -- $1 link, $2 upload
    SELECT r.key, r.sha256, r.bytes FROM uploads u JOIN images i ON i.id = u.image_id
    JOIN renditions r ON r.blob_id = i.blob_id AND r.preset = 'thumb' AND r.format = 'webp'
    WHERE u.id = $2 AND u.link_id = $1 AND u.settled AND i.state = 'ready'
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ThumbRow:
    """A row of RECEIPT_THUMB."""

    key: str
    sha256: bytes
    bytes: int
