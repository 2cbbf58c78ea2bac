"""What ends an image of a job, and with the last of them the job.

A counter changes only together with images that leave `waiting`, in one transaction under the job's lock: so neither a
task that runs twice nor two last images at once count wrong, and exactly one transaction finds the job finished.
Locks: job, visit images, (image), task.
"""

import dataclasses
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
# an image that is admitted already has begun: it goes on
LOCK_UNBEGUN = text("""
    SELECT t.id FROM tasks t WHERE t.turn_of = :job AND t.state = 'pending' AND NOT EXISTS (
        SELECT FROM visit_images i JOIN uploads u ON u.id = i.id WHERE i.fetch_id = t.id)
    ORDER BY t.id FOR UPDATE OF t
""")
CANCEL_IMAGES = text("""
    UPDATE visit_images SET state = 'cancelled' WHERE fetch_id = ANY(:fetches) AND state = 'waiting' RETURNING id
""").bindparams(bindparam("fetches", type_=ARRAY(Uuid())))
DELETE_TASKS = text("DELETE FROM tasks WHERE id = ANY(:fetches)").bindparams(bindparam("fetches", type_=ARRAY(Uuid())))
CALL_CANCELLED = text("UPDATE jobs SET status = 'cancelled' WHERE id = :job AND status = 'ongoing'")
COUNT = text("""
    UPDATE jobs SET done = done + :done, failed = failed + :failed, cancelled = cancelled + :cancelled,
        finished_at = CASE WHEN ended = total THEN now() END,
        status = CASE WHEN status <> 'ongoing' OR ended < total THEN status
                      WHEN cancelled + :cancelled > 0 THEN 'cancelled'
                      WHEN failed + :failed > 0 THEN 'failed' ELSE 'completed' END
    FROM (SELECT id AS job, done + failed + cancelled + :done + :failed + :cancelled AS ended
          FROM jobs WHERE id = :job) AS then_
    WHERE id = job RETURNING finished_at IS NOT NULL AS is_finished, status
""")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the images of one task ended: ``perimeter`` of those that are done, ``reason`` of those that failed.

    ``seconds`` were spent before they were admitted.
    """

    state: str
    reason: str | None = None
    perimeter: int | None = None
    score: int | None = None
    seconds: float | None = None


CANCELLED = Outcome(state="cancelled")


def failed(reason: str) -> Outcome:
    return Outcome(state="failed", reason=reason)


async def lock_job(session: AsyncSession, job_id: UUID) -> bool:
    """False when it is gone with its owner."""
    return (await session.execute(LOCK_JOB, {"job": job_id})).one_or_none() is not None


async def end_images(session: AsyncSession, job_id: UUID, fetch_id: UUID, outcome: Outcome) -> None:
    """End those that wait for this task, of a job that is locked. Those that have ended stay as they are."""
    ended = await session.execute(END_IMAGES, {"fetch": fetch_id, **dataclasses.asdict(outcome)})
    await count(session, job_id, **{outcome.state: len(ended.all())})


async def cancel(session: AsyncSession, job_id: UUID) -> None:
    """Stop what has not begun, of a job that is locked. What has begun goes on, and counts."""
    unbegun = list((await session.execute(LOCK_UNBEGUN, {"job": job_id})).scalars())
    cancelled = await session.execute(CANCEL_IMAGES, {"fetches": unbegun})
    await session.execute(DELETE_TASKS, {"fetches": unbegun})
    await session.execute(CALL_CANCELLED, {"job": job_id})
    await count(session, job_id, cancelled=len(cancelled.all()))


async def count(session: AsyncSession, job_id: UUID, *, done: int = 0, failed: int = 0, cancelled: int = 0) -> None:
    """The one place where a job becomes finished."""
    counts = {"done": done, "failed": failed, "cancelled": cancelled}
    if not any(counts.values()):
        return
    row = (await session.execute(COUNT, {"job": job_id, **counts})).one()
    if row.is_finished:
        log.info("job finished", job_id=str(job_id), status=row.status)
