"""Who works on a task: the statements that claim, renew, finish, fail and give back, each conditional on the lease.

Every transaction that writes a result ends with one of them; on zero rows it raises LeaseLost and so rolls back: two
workers with the same task leave one result.
"""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, or_, update
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.db import new_id
from imagesvc.tasks.models import Task


class LeaseLost(Exception):
    """Somebody else has this task by now, or it is gone: nothing may be written."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to work on a task until its lease runs out. ``attempt`` counts from 1."""

    task_id: UUID
    token: UUID
    kind: str
    blob_id: UUID | None
    image_id: UUID | None
    payload: dict[str, Any]
    attempt: int
    turn_of: UUID | None


def new_task(*, kind: str, blob_id: UUID | None = None, image_id: UUID | None = None, **columns: Any) -> Task:
    return Task(id=new_id(), kind=kind, blob_id=blob_id, image_id=image_id, **columns)


async def claim(session: AsyncSession, task_id: UUID, *, seconds: float) -> Lease | None:
    """The lease of a task that is due or whose lease has run out; None when it is not to be had."""
    token = new_id()
    row = (
        await session.execute(
            update(Task)
            .where(
                Task.id == task_id,
                or_(
                    (Task.state == "pending") & (Task.due_at <= func.now()),
                    (Task.state == "running") & (Task.lease_until < func.now()),
                ),
            )
            .values(
                state="running",
                lease_token=token,
                lease_until=func.now() + dt.timedelta(seconds=seconds),
                attempts=Task.attempts + 1,
            )
            .returning(Task.kind, Task.blob_id, Task.image_id, Task.payload, Task.attempts, Task.turn_of)
        )
    ).one_or_none()
    if row is None:
        return None
    return Lease(
        task_id=task_id,
        token=token,
        kind=row.kind,
        blob_id=row.blob_id,
        image_id=row.image_id,
        payload=row.payload,
        attempt=row.attempts,
        turn_of=row.turn_of,
    )


async def renew(session: AsyncSession, lease: Lease, *, seconds: float) -> None:
    await _conditional(session, lease, lease_until=func.now() + dt.timedelta(seconds=seconds))


async def finish(session: AsyncSession, lease: Lease) -> None:
    """The task is done: its row goes. The last row lock but for loose objects in the result's transaction."""
    done = await session.execute(
        delete(Task).where(Task.id == lease.task_id, Task.lease_token == lease.token).returning(Task.id)
    )
    if done.one_or_none() is None:
        raise LeaseLost


async def retry_later(session: AsyncSession, lease: Lease, *, seconds: float, error: str) -> None:
    await _conditional(
        session,
        lease,
        state="pending",
        lease_token=None,
        lease_until=None,
        due_at=func.now() + dt.timedelta(seconds=seconds),
        last_error=error,
    )


async def mark_dead(session: AsyncSession, lease: Lease, *, error: str) -> None:
    """The last attempt has failed: a dead letter, kept, visible and retryable."""
    await _conditional(
        session, lease, state="dead", lease_token=None, lease_until=None, last_error=error, died_at=func.now()
    )


async def retry(session: AsyncSession, task_ids: Sequence[UUID]) -> None:
    """Dead letters are as new tasks again."""
    await session.execute(
        update(Task)
        .where(Task.id.in_(task_ids), Task.state == "dead")
        .values(state="pending", attempts=0, due_at=func.now(), last_error=None, died_at=None)
    )


async def give_back(session: AsyncSession, lease: Lease, *, seconds: float = 0) -> None:
    """The worker stops, or what it depends on is away: the attempt does not count."""
    await _conditional(
        session,
        lease,
        state="pending",
        lease_token=None,
        lease_until=None,
        due_at=func.now() + dt.timedelta(seconds=seconds),
        attempts=Task.attempts - 1,
    )


async def _conditional(session: AsyncSession, lease: Lease, **values: Any) -> None:
    kept = await session.execute(
        update(Task)
        .where(Task.id == lease.task_id, Task.lease_token == lease.token)
        .values(**values)
        .returning(Task.id)
    )
    if kept.one_or_none() is None:
        raise LeaseLost
