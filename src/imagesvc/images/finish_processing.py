"""The common end of a task that processed an image, as one call of ``finish_processing`` (src/imagesvc/sql/).

asyncpg, because every picture ends here. The ends that are rare are transactions of ``processing_tasks.py``.
"""

import dataclasses
import datetime as dt
from typing import Any
from uuid import UUID

from imagesvc.db import Database
from imagesvc.images import processing_problems
from imagesvc.images.derive import Derived, StoredFile
from imagesvc.images.models import Blob, ProblemJson
from imagesvc.images.queries import SourceBlob
from imagesvc.images.store_time_zone import capture_offset
from imagesvc.processing.contract import Rejected
from imagesvc.processing.facts import Facts
from imagesvc.storage.loose_objects import raising_key_reaped
from imagesvc.tasks.leases import Lease, raising_lease_lost
from imagesvc.uploads.function_call import FunctionCall

_FACTS = {field.name for field in dataclasses.fields(Facts)}
PLAIN_METADATA = _FACTS & set(Blob.__table__.columns.keys()) - {"perceptual_hash", "notes", "score"}
"""Facts that are stored unchanged, in a column of the same name."""


def metadata_columns(facts: Facts) -> dict[str, Any]:
    """The columns of a blob that its metadata fills, by name."""
    return {name: getattr(facts, name) for name in PLAIN_METADATA} | {
        "camera_make": facts.make,
        "camera_model": facts.model,
        "camera_make_raw": facts.make_raw,
        "camera_model_raw": facts.model_raw,
        "captured_offset_source": facts.offset_source,
        "notes": list(facts.notes) or None,
    }


def pixel_columns(facts: Facts) -> dict[str, Any]:
    """The columns of a blob that its pixels fill. A hash that is not known keeps the stored one."""
    columns: dict[str, Any] = {"score": facts.score}
    if facts.perceptual_hash is not None:
        unsigned = int(facts.perceptual_hash, 16)
        columns["perceptual_hash"] = unsigned - 2**64 if unsigned >= 2**63 else unsigned
    return columns


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FinishProcessing:
    """The parameters of ``finish_processing``, in its order."""

    task: UUID
    lease: UUID
    blob: UUID
    image: UUID
    key: str
    state: str
    problem: ProblemJson | None
    columns: dict[str, Any]
    renditions: list[dict[str, Any]]
    score: int
    minutes: int | None
    source: str | None
    utc: dt.datetime | None
    needs_zone: bool
    zone: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRow:
    """``zone`` is the store's time zone now, when the outcome is `zone-changed`."""

    outcome: str
    zone: str | None


FINISH_PROCESSING = FunctionCall("finish_processing", FinishProcessing, FinishedRow)


async def finish_processing(database: Database, lease: Lease, blob: SourceBlob, result: Derived | Rejected) -> bool:
    """Write the result and end the task. Returns False, and has written nothing, if it is not the common end.

    A file that was rejected before its header was read is not: it has no facts. Raises LeaseLost, and KeyReaped.
    """
    facts = result.facts
    if facts is None:
        return False
    zone = blob.time_zone
    while True:
        with raising_key_reaped(), raising_lease_lost():
            row = await FINISH_PROCESSING.run(database, _parameters(lease, blob, result, facts, zone))
        if row.outcome != "zone-changed":
            return row.outcome == "done"
        zone = row.zone


def _parameters(
    lease: Lease, blob: SourceBlob, result: Derived | Rejected, facts: Facts, zone: str | None
) -> FinishProcessing:
    assert lease.image_id is not None  # noqa: S101 - tasks of this kind carry one
    columns = metadata_columns(facts) | pixel_columns(facts)
    local = facts.captured_local
    needs_zone = local is not None and facts.offset_source != "exif"
    offset = capture_offset(local, facts.captured_offset_minutes, facts.offset_source, zone=zone)
    return FinishProcessing(
        task=lease.task_id,
        lease=lease.token,
        blob=blob.id,
        image=lease.image_id,
        key=blob.key,
        state="rejected" if isinstance(result, Rejected) else "ready",
        problem=processing_problems.rejection(result.slug, result.detail) if isinstance(result, Rejected) else None,
        columns={
            name: value.isoformat() if isinstance(value, dt.datetime) else value for name, value in columns.items()
        },
        renditions=[] if isinstance(result, Rejected) else [_rendition(file) for file in result.files],
        score=facts.score["value"] if facts.score else -1,
        minutes=offset.minutes,
        source=offset.source,
        utc=offset.utc(local),
        needs_zone=needs_zone,
        zone=zone if needs_zone else None,
    )


def _rendition(file: StoredFile) -> dict[str, Any]:
    return {
        "preset": file.preset,
        "format": file.format,
        "key": file.key,
        "width": file.width,
        "height": file.height,
        "sha256": file.sha256.hex(),
        "bytes": file.bytes,
    }
