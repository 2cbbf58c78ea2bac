"""Ends the images of a job, counts them, and finishes the job with its last image.

A counter changes only in a transaction that moves images out of `waiting`, under the job's lock. Neither a task that
runs twice nor two last images that end at the same time can be counted wrong, and exactly one transaction finishes the
job. Lock order: job, visit images, (image), task.

SQL text in sessions: the functions are steps of their callers' transactions.
"""

import dataclasses
from typing import Literal
from uuid import UUID

import structlog
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import BigInteger, Double, Text, Uuid

log = structlog.get_logger(__name__)

LOCK_JOB = text("SELECT id FROM jobs WHERE id = :job FOR NO KEY UPDATE")
END_IMAGES = text("""
    UPDATE visit_images i SET state = :state, reason = :reason, perimeter = :perimeter, score = :score,
        seconds = :seconds + coalesce(
            (SELECT extract(epoch FROM now() - u.received_at) FROM uploads u WHERE u.id = i.id), 0)
    WHERE i.fetch_id = :fetch AND i.state = 'waiting' RETURNING i.id
""").bindparams(
    bindparam("reason", type_=Text()),
    bindparam("perimeter", type_=BigInteger()),
    bindparam("score", type_=BigInteger()),
    bindparam("seconds", type_=Double()),
)
# an image that is already admitted is not cancelled
LOCK_UNSTARTED_TASKS = text("""
    SELECT t.id FROM tasks t WHERE t.turn_of = :job AND t.state = 'pending' AND NOT EXISTS (
        SELECT FROM visit_images i JOIN uploads u ON u.id = i.id WHERE i.fetch_id = t.id)
    ORDER BY t.id FOR UPDATE OF t
""")
CANCEL_IMAGES = text("""
    UPDATE visit_images SET state = 'cancelled' WHERE fetch_id = ANY(:fetches) AND state = 'waiting' RETURNING id
""").bindparams(bindparam("fetches", type_=ARRAY(Uuid())))
DELETE_TASKS = text("DELETE FROM tasks WHERE id = ANY(:fetches)").bindparams(bindparam("fetches", type_=ARRAY(Uuid())))
SET_CANCELLED = text("UPDATE jobs SET status = 'cancelled' WHERE id = :job AND status = 'ongoing'")
ADD_TO_COUNTS = text("""
    UPDATE jobs SET done = done + :done, failed = failed + :failed, cancelled = cancelled + :cancelled,
        finished_at = CASE WHEN ended = total THEN now() END,
        status = CASE WHEN status <> 'ongoing' OR ended < total THEN status
                      WHEN cancelled + :cancelled > 0 THEN 'cancelled'
                      WHEN failed + :failed > 0 THEN 'failed' ELSE 'completed' END
    FROM (SELECT id AS job, done + failed + cancelled + :done + :failed + :cancelled AS ended
          FROM jobs WHERE id = :job) AS counts
    WHERE id = job RETURNING finished_at IS NOT NULL AS is_finished, status
""")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ImageOutcome:
    """How the images of one task ended: `done` with ``perimeter``, or `failed` with ``reason``.

    ``seconds`` is the time from the start of the download to its admission.
    """

    state: Literal["done", "failed", "cancelled"]
    reason: str | None = None
    perimeter: int | None = None
    score: int | None = None
    seconds: float | None = None


CANCELLED = ImageOutcome(state="cancelled")


def failed(reason: str) -> ImageOutcome:
    return ImageOutcome(state="failed", reason=reason)


async def lock_job(session: AsyncSession, job_id: UUID) -> bool:
    """Returns False when the job was deleted with its owner's account."""
    return (await session.execute(LOCK_JOB, {"job": job_id})).one_or_none() is not None


async def end_images(session: AsyncSession, job_id: UUID, fetch_id: UUID, outcome: ImageOutcome) -> None:
    """End the images that wait for this task. The caller holds the job's lock. Ended images do not change."""
    ended = await session.execute(END_IMAGES, {"fetch": fetch_id, **dataclasses.asdict(outcome)})
    await add_to_counts(session, job_id, **{outcome.state: len(ended.all())})


async def cancel(session: AsyncSession, job_id: UUID) -> None:
    """Cancel the images whose task has not started. The others end and count. The caller holds the job's lock."""
    unstarted = list((await session.execute(LOCK_UNSTARTED_TASKS, {"job": job_id})).scalars())
    cancelled = await session.execute(CANCEL_IMAGES, {"fetches": unstarted})
    await session.execute(DELETE_TASKS, {"fetches": unstarted})
    await session.execute(SET_CANCELLED, {"job": job_id})
    await add_to_counts(session, job_id, cancelled=len(cancelled.all()))


async def add_to_counts(
    session: AsyncSession, job_id: UUID, *, done: int = 0, failed: int = 0, cancelled: int = 0
) -> None:
    """Add to the job's counters. This is the only place that finishes a job."""
    counts = {"done": done, "failed": failed, "cancelled": cancelled}
    if not any(counts.values()):
        return
    row = (await session.execute(ADD_TO_COUNTS, {"job": job_id, **counts})).one()
    if row.is_finished:
        log.info("job finished", job_id=str(job_id), status=row.status)
