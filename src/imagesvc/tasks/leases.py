"""Leases: statements that claim, renew, finish, fail and give back a task, each conditional on its lease (ORM).

Every transaction that writes a result ends with one of these statements. When it changes no row, it raises LeaseLost,
which rolls the transaction back: two workers with the same task leave one result.
"""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, func, or_, update
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.db import new_id
from imagesvc.tasks.models import Payload, Task


class LeaseLost(Exception):
    """Another worker has claimed this task, or the task is deleted. Nothing may be written."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to work on a task until the lease expires. ``attempt`` counts from 1; ``turn_of`` is the group."""

    task_id: UUID
    token: UUID
    kind: str
    blob_id: UUID | None
    image_id: UUID | None
    payload: Payload
    attempt: int
    turn_of: UUID | None

    def payload_id(self, member: str) -> UUID:
        """The id in this member of the payload."""
        return UUID(str(self.payload[member]))


def new_task(
    *,
    kind: str,
    blob_id: UUID | None = None,
    image_id: UUID | None = None,
    payload: Payload | None = None,
    dedupe_key: str | None = None,
) -> Task:
    return Task(
        id=new_id(), kind=kind, blob_id=blob_id, image_id=image_id, payload=payload or {}, dedupe_key=dedupe_key
    )


async def claim(session: AsyncSession, task_id: UUID, *, seconds: float) -> Lease | None:
    """Claim a task that is due or whose lease has expired. Returns None when it cannot be claimed."""
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
    """Extend the lease. Raises LeaseLost, as do all functions below that take a lease."""
    await _update_leased(session, lease, lease_until=func.now() + dt.timedelta(seconds=seconds))


async def finish(session: AsyncSession, lease: Lease) -> None:
    """Delete the row of a completed task. In the lock order only loose objects follow."""
    deleted = await session.execute(
        delete(Task).where(Task.id == lease.task_id, Task.lease_token == lease.token).returning(Task.id)
    )
    if deleted.one_or_none() is None:
        raise LeaseLost


async def retry_later(session: AsyncSession, lease: Lease, *, seconds: float, error: str) -> None:
    """Record a failed attempt; the next one is due after ``seconds``."""
    await _update_leased(
        session,
        lease,
        state="pending",
        lease_token=None,
        lease_until=None,
        due_at=func.now() + dt.timedelta(seconds=seconds),
        last_error=error,
    )


async def mark_dead(session: AsyncSession, lease: Lease, *, error: str) -> None:
    """Record that the last attempt failed. The row stays as a dead letter, which an admin can list and retry."""
    await _update_leased(
        session, lease, state="dead", lease_token=None, lease_until=None, last_error=error, died_at=func.now()
    )


async def retry(session: AsyncSession, task_ids: Sequence[UUID]) -> None:
    """Make dead letters pending again, with all their attempts."""
    await session.execute(
        update(Task)
        .where(Task.id.in_(task_ids), Task.state == "dead")
        .values(state="pending", attempts=0, due_at=func.now(), last_error=None, died_at=None)
    )


async def give_back(session: AsyncSession, lease: Lease, *, seconds: float = 0) -> None:
    """Make the task pending without counting the attempt: the worker stops, or a dependency is unavailable."""
    await _update_leased(
        session,
        lease,
        state="pending",
        lease_token=None,
        lease_until=None,
        due_at=func.now() + dt.timedelta(seconds=seconds),
        attempts=Task.attempts - 1,
    )


async def _update_leased(session: AsyncSession, lease: Lease, **values: object) -> None:
    updated = await session.execute(
        update(Task)
        .where(Task.id == lease.task_id, Task.lease_token == lease.token)
        .values(**values)
        .returning(Task.id)
    )
    if updated.one_or_none() is None:
        raise LeaseLost
