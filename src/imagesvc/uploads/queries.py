"""Statements of admission. All use asyncpg: they are on the path of every upload.

Each statement is one step of the protocol in docs/architecture.md and commits in a transaction of its own.
"""

import dataclasses
import datetime as dt
from typing import Literal
from uuid import UUID

from imagesvc.uploads.function_call import FunctionCall
from imagesvc.uploads.models import Way


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionRecord:
    """One file and everything that its admission writes: the parameters of ``admit_file``, in its order."""

    upload: UUID
    image: UUID
    blob: UUID
    task: UUID
    batch: UUID | None
    position: int
    owner: UUID
    scope: UUID
    link: UUID | None
    way: Way
    sha256: bytes
    bytes: int
    media_type: str
    key: str | None
    filename: str
    title: str
    description: str | None
    visibility: str
    captured_at: dt.datetime | None
    store_id: str | None
    store_name: str | None
    camera_id: str | None
    barcode: str | None


AdmissionRefusal = Literal[
    "need-key", "key-lost", "link-revoked", "link-used-up", "link-room-too-small", "link-reserved"
]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionRow:
    """The answer of ``admit_file``. The two ids mean something only for `created` and `duplicate`."""

    outcome: Literal["created", "duplicate"] | AdmissionRefusal
    image_id: UUID
    task_id: UUID | None


ADMIT_FILE = FunctionCall("admit_file", AdmissionRecord, AdmissionRow)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LinkReservation:
    """A large file that a link reserves room for: the parameters of ``reserve_on_link``, in its order."""

    link: UUID
    key: str
    s3_upload_id: str | None
    bytes: int
    is_exact: bool
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReservationRow:
    """``refusal`` is the slug of the problem; None when the room is reserved."""

    refusal: str | None


RESERVE_ON_LINK = FunctionCall("reserve_on_link", LinkReservation, ReservationRow)

HOLD_UNLESS_KNOWN = """
    -- $1 sha256, $2 scope, $3 key, $4 seconds; no row when the content is known and usable
    INSERT INTO loose_objects (key, state, not_before)
    SELECT $3, 'held', now() + make_interval(secs => $4)
    WHERE NOT EXISTS (SELECT FROM blobs WHERE sha256 = $1 AND scope = $2 AND state <> 'failed' AND NOT object_lost)
    RETURNING key
"""

HOLD = """
    INSERT INTO loose_objects (key, state, not_before, s3_upload_id)
    VALUES ($1, 'held', now() + make_interval(secs => $2), $3) RETURNING key
"""

EXTEND_HOLD = """
    UPDATE loose_objects SET not_before = now() + make_interval(secs => $2)
    WHERE key = $1 AND state = 'held' RETURNING key
"""

RELEASE = """
    UPDATE loose_objects SET state = 'reaping', not_before = now() WHERE key = $1 AND state = 'held' RETURNING key
"""

SET_REJECTED = "UPDATE batches SET rejected = $2 WHERE id = $1 RETURNING 1"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OwnContentRow:
    sha256: bytes
    image_id: UUID


OWN_CONTENTS = """
    -- $1 owner, $2 hashes; sending an image again repairs one that failed or whose object is lost
    SELECT b.sha256, i.id AS image_id
    FROM blobs b JOIN images i ON i.blob_id = b.id AND i.owner_id = $1
    WHERE b.sha256 = ANY($2) AND i.state <> 'failed' AND b.state <> 'failed' AND NOT b.object_lost
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LinkContentRow:
    sha256: bytes


CONTENTS_OF_LINK = """
    -- $1 link, $2 its owner, $3 hashes; reveals no more than the receipts of this link
    SELECT c.sha256 FROM link_contents c
    WHERE c.link_id = $1 AND c.sha256 = ANY($3) AND NOT EXISTS (
        SELECT FROM blobs b JOIN images i ON i.blob_id = b.id AND i.owner_id = $2 AND i.state = 'failed'
        JOIN uploads u ON u.image_id = i.id AND u.link_id = $1 AND u.settled
        WHERE b.sha256 = c.sha256)
"""
