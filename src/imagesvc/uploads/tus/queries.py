"""Statements of resumable uploads. All use asyncpg: they are on the path of every request.

Each statement is one step of the protocol in docs/resumable.md and commits in a transaction of its own. A user finds
their own uploads, a link finds those that came through it (`_OF_HOLDER`).
"""

import dataclasses
import datetime as dt
from typing import Any, Literal, NamedTuple, TypeAlias
from uuid import UUID

from imagesvc.uploads.function_call import FunctionCall
from imagesvc.uploads.queries import ADMIT_FILE

Problem: TypeAlias = dict[str, Any]  # a problem document (RFC 9457): its extension members have any type
State = Literal["receiving", "finishing", "done", "refused"]


class StoredPart(NamedTuple):
    """A stored part of the S3 multipart upload, as the column ``parts`` has it."""

    number: int
    etag: str
    bytes: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UploadRef:
    """An upload with its owner and its link. A request that does not name all three does not find the upload."""

    upload_id: UUID
    owner_id: UUID
    link_id: UUID | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ResumableRow:
    """An upload. ``task_id`` and ``is_finishing`` describe its task; only the statement GET reads them."""

    id: UUID
    state: State
    epoch: int
    turn: Literal["free", "taken", "wanted"]
    length: int
    metadata: str
    media_type: str | None
    key: str | None
    s3_upload_id: str | None
    parts_bytes: int
    tail_key: str | None
    tail_bytes: int
    parts_count: int
    upload_offset: int
    expires_at: dt.datetime
    is_expired: bool
    problem: Problem | None
    status: Literal["created", "duplicate"] | None
    upload_id: UUID | None
    image_id: UUID | None
    task_id: UUID | None = None
    is_finishing: bool | None = None


_COLUMNS = """
    r.id, r.state, r.epoch, r.turn, r.length, r.metadata, r.media_type,
    r.key, r.s3_upload_id, r.parts_bytes, r.tail_key, r.tail_bytes,
    jsonb_array_length(r.parts) AS parts_count, r.parts_bytes + r.tail_bytes AS upload_offset, r.expires_at,
    r.expires_at <= now() AS is_expired, r.problem, r.status, r.upload_id, r.image_id
"""
_OF_HOLDER = "r.id = $1 AND r.owner_id = $2 AND r.link_id IS NOT DISTINCT FROM $3"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CreateResumable:
    """The parameters of ``create_resumable``, in its order."""

    id: UUID
    owner: UUID
    link: UUID | None
    length: int
    metadata: str
    context: dict[str, str | None]
    sha256: bytes | None
    turn: Literal["free", "taken"]
    idle_seconds: float
    most_unfinished: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CreatedRow:
    """``refusal`` is the slug of the problem; None when the upload was created."""

    refusal: str | None
    expires_at: dt.datetime | None


CREATE = FunctionCall("create_resumable", CreateResumable, CreatedRow)

_N = len(ADMIT_FILE.parameter_names)
ADMIT_WHOLE = f"""
    -- admits a file and keeps the result as that of a resumable upload; the parameters of admit_file, then
    -- ${_N + 1} id, ${_N + 2} metadata, ${_N + 3} context, ${_N + 4} declared sha256, ${_N + 5} kept for seconds
    WITH admitted AS MATERIALIZED ({ADMIT_FILE.sql}), kept AS (
        INSERT INTO resumable_uploads (id, owner_id, link_id, length, metadata, context, expected_sha256, media_type,
            tail_bytes, state, status, upload_id, image_id, expires_at)
        SELECT ${_N + 1}, $7, $9, $12, ${_N + 2}, ${_N + 3}, ${_N + 4}, $13,
            $12, 'done', outcome, $1, image_id,
            now() + make_interval(secs => ${_N + 5})
        FROM admitted WHERE outcome IN ('created', 'duplicate'))
    SELECT * FROM admitted
"""  # noqa: S608 - parts of the statement itself

GET = f"""
    SELECT {_COLUMNS}, t.id AS task_id, t.state = 'running' AS is_finishing
    FROM resumable_uploads r LEFT JOIN tasks t ON t.dedupe_key = 'finish_resumable:' || r.id WHERE {_OF_HOLDER}
"""  # noqa: S608 - parts of the statement itself

# ---- which request may write

TAKE_TURN = f"""
    -- $4 the offset that the request starts at, $5 even if another request has the turn, $6 and $7 lifetime in seconds
    UPDATE resumable_uploads r SET epoch = epoch + 1, turn = 'taken',
        expires_at = least(now() + make_interval(secs => $6), created_at + make_interval(secs => $7))
    WHERE {_OF_HOLDER} AND r.state = 'receiving' AND r.expires_at > now()
      AND (r.turn = 'free' OR $5) AND r.parts_bytes + r.tail_bytes = $4
    RETURNING {_COLUMNS}
"""  # noqa: S608

REQUEST_TURN = "UPDATE resumable_uploads SET turn = 'wanted' WHERE id = $1 AND turn = 'taken' RETURNING id"
OCCUPIED_TURN = "SELECT id FROM resumable_uploads WHERE id = $1 AND turn <> 'free'"
"""No row when the turn is free, or the upload does not exist."""
FENCE = """
    -- invalidates all later writes of an older request
    UPDATE resumable_uploads SET epoch = epoch + 1, turn = 'free'
    WHERE id = $1 AND state = 'receiving' AND turn <> 'free' RETURNING id
"""
FREE_TURN = "UPDATE resumable_uploads SET turn = 'free' WHERE id = $1 AND epoch = $2 AND state = 'receiving'"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UploadIdRow:
    id: UUID


TO_STOP = """
    -- of the uploads $1 that are received under the epochs $2: those that a newer request wants or has taken over
    SELECT mine.id
    FROM unnest($1::uuid[], $2::bigint[]) AS mine (id, epoch) LEFT JOIN resumable_uploads r ON r.id = mine.id
    WHERE r.id IS NULL OR r.epoch <> mine.epoch OR r.turn = 'wanted' OR r.state <> 'receiving'
"""

# ---- storing and counting bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PartNumberRow:
    number: int


NEXT_PART = """
    -- each number is used once; $3 and $4: the key of the multipart upload and its id
    UPDATE resumable_uploads SET next_part = next_part + 1, key = $3, s3_upload_id = $4
    WHERE id = $1 AND epoch = $2 AND state = 'receiving' RETURNING next_part - 1 AS number
"""
HOLD_TAIL = """
    INSERT INTO loose_objects (key, state, not_before)
    SELECT $3, 'held', now() + make_interval(secs => $4) FROM resumable_uploads
    WHERE id = $1 AND epoch = $2 AND state = 'receiving'
    RETURNING key
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SaveResumable:
    """The bytes that a request has stored: the parameters of ``save_resumable``, in its order."""

    id: UUID
    epoch: int
    from_: int
    parts: list[StoredPart]
    tail_key: str | None
    tail_bytes: int
    media_type: str | None
    is_last: bool
    task: UUID
    idle_seconds: float
    max_seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SavedRow:
    """All are None when the upload is no longer received under this epoch at this offset."""

    state: State | None
    upload_offset: int
    expires_at: dt.datetime


SAVE = FunctionCall("save_resumable", SaveResumable, SavedRow)

# ---- ends


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EndResumable:
    """The parameters of ``end_resumable``, in its order."""

    id: UUID
    epoch: int | None
    states: list[State]
    only_expired: bool
    problem: Problem
    keep_seconds: float
    margin_seconds: float
    task: UUID | None
    lease: UUID | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EndedRow:
    is_ended: bool


END = FunctionCall("end_resumable", EndResumable, EndedRow)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FinishingRow:
    """An upload whose bytes are all stored. ``parts`` are ``[number, etag, bytes]``."""

    id: UUID
    length: int
    expected_sha256: bytes | None
    key: str | None
    s3_upload_id: str | None
    parts: list[tuple[int, str, int]]
    parts_bytes: int
    tail_key: str | None
    owner_id: UUID


FINISHING = """
    SELECT id, length, expected_sha256, key, s3_upload_id, parts, parts_bytes, tail_key, owner_id
    FROM resumable_uploads WHERE id = $1 AND state = 'finishing'
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FinishResumable:
    """The admission of a complete upload: the parameters of ``finish_resumable``, in its order."""

    id: UUID
    task: UUID
    lease: UUID
    scope: UUID
    sha256: bytes
    media_type: str
    upload: UUID
    image: UUID
    blob: UUID
    process_task: UUID
    problems: dict[str, Problem]
    keep_seconds: float
    margin_seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRow:
    """``task_id`` is the processing task; ``outcome`` may also be a key of ``FinishResumable.problems``."""

    outcome: str
    task_id: UUID | None


FINISH = FunctionCall("finish_resumable", FinishResumable, FinishedRow)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CompleteResumable:
    """The last bytes of an upload that one request brought whole: the parameters of ``complete_resumable``."""

    id: UUID
    epoch: int
    from_: int
    tail_key: str
    tail_bytes: int
    media_type: str
    task: UUID
    idle_seconds: float
    max_seconds: float
    scope: UUID
    sha256: bytes
    upload: UUID
    image: UUID
    blob: UUID
    process_task: UUID
    problems: dict[str, Problem]
    keep_seconds: float
    margin_seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CompletedRow(SavedRow):
    """``outcome`` is None when the bytes were only saved."""

    outcome: str | None
    task_id: UUID | None
    upload_id: UUID | None
    image_id: UUID | None


COMPLETE = FunctionCall("complete_resumable", CompleteResumable, CompletedRow)

EXPIRED = """
    SELECT id FROM resumable_uploads WHERE state = 'receiving' AND expires_at <= now() ORDER BY expires_at LIMIT $1
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CountRow:
    count: int


DELETE_OLD_RESULTS = """
    WITH deleted AS (
        DELETE FROM resumable_uploads WHERE id IN (
            SELECT id FROM resumable_uploads WHERE state IN ('done', 'refused') AND expires_at <= now()
            ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)
        RETURNING 1)
    SELECT count(*) AS count FROM deleted
"""
