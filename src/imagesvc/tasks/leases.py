"""Leases: statements that claim, renew, finish, fail and give back a task, each conditional on its lease.

The claim uses asyncpg; the others are ORM statements in the transactions that write results.

Every transaction that writes a result ends with one of these statements. When it changes no row, it raises LeaseLost,
which rolls the transaction back: two workers with the same task leave one result.
"""

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Iterator, Sequence
from uuid import UUID

import asyncpg
from sqlalchemy import delete, func, update
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.db import Database, new_id
from imagesvc.tasks.models import Payload, Task

CLAIM = """
    -- $1 task, $2 lease token, $3 lease in seconds
    UPDATE tasks SET state = 'running', lease_token = $2, lease_until = now() + make_interval(secs => $3),
        attempts = attempts + 1
    WHERE id = $1 AND (state = 'pending' AND due_at <= now() OR state = 'running' AND lease_until < now())
    RETURNING id AS task_id, lease_token AS token, kind, blob_id, image_id, payload, attempts AS attempt, turn_of
"""


LEASE_WAS_LOST = "IM002"
"""SQLSTATE of a database function whose task another worker has by now. All its changes are undone."""


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


async def claim(database: Database, task_id: UUID, *, seconds: float) -> Lease | None:
    """Claim a task that is due or whose lease has expired. Returns None when it cannot be claimed.

    One statement in a transaction of its own (asyncpg), because every task starts with it.
    """
    return await database.fetch_one_or_none(CLAIM, Lease, task_id, new_id(), seconds)


@contextlib.contextmanager
def raising_lease_lost() -> Iterator[None]:
    """Turn the error of a database function with a lease into LeaseLost."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if error.sqlstate == LEASE_WAS_LOST:
            raise LeaseLost from error
        raise


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
