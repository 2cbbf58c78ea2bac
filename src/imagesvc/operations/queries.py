"""Statements about tasks, for operators (ORM)."""

import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.tasks.models import Task


async def page_of_tasks(
    session: AsyncSession, *, state: str | None, kind: str | None, before: UUID | None, limit: int
) -> Sequence[Task]:
    """The newest first."""
    query = select(Task).order_by(Task.id.desc()).limit(limit)
    if state is not None:
        query = query.where(Task.state == state)
    if kind is not None:
        query = query.where(Task.kind == kind)
    if before is not None:
        query = query.where(Task.id < before)
    return (await session.execute(query)).scalars().all()


async def page_of_dead_letters(
    session: AsyncSession,
    *,
    kind: str | None,
    last_error: str | None,
    died_from: dt.datetime | None,
    died_to: dt.datetime | None,
    after: UUID | None,
    limit: int,
) -> Sequence[UUID]:
    """The oldest first."""
    query = select(Task.id).where(Task.state == "dead").order_by(Task.id).limit(limit)
    if kind is not None:
        query = query.where(Task.kind == kind)
    if last_error is not None:
        query = query.where(Task.last_error == last_error)
    if died_from is not None:
        query = query.where(Task.died_at >= died_from)
    if died_to is not None:
        query = query.where(Task.died_at < died_to)
    if after is not None:
        query = query.where(Task.id > after)
    return (await session.execute(query)).scalars().all()


async def task_of(session: AsyncSession, task_id: UUID) -> Task | None:
    """The current row, even when the session has loaded an earlier version."""
    return await session.get(Task, task_id, populate_existing=True)


async def lock_dead_letter(session: AsyncSession, task_id: UUID) -> Task | None:
    """Returns None when the task is deleted or not a dead letter."""
    query = select(Task).where(Task.id == task_id, Task.state == "dead").with_for_update()
    return (await session.execute(query.execution_options(populate_existing=True))).scalar_one_or_none()
