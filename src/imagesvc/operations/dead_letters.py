"""Lists tasks; retries and drops dead letters.

A retried task is like a new one: when it succeeds, its row is deleted, which ends the alarm. What ``on_exhausted`` had
failed becomes pending again in the same transaction. Dropping a dead letter may remove the last reference to a blob.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.images import queries as images
from imagesvc.images.retry import retry_processing
from imagesvc.operations import queries
from imagesvc.operations.errors import TaskNotDead, TaskNotFound
from imagesvc.operations.schemas import DeadLetters, Retried, TaskState
from imagesvc.storage import loose_objects
from imagesvc.tasks.leases import retry
from imagesvc.tasks.models import Task
from imagesvc.tasks.queue import Queue

Reopen = Callable[[AsyncSession, Task], Awaitable[object]]
"""Reverts ``on_exhausted`` of a dead letter. Locks rows that precede tasks in the lock order."""


async def _reopen_image(session: AsyncSession, letter: Task) -> None:
    if letter.blob_id is not None:
        await retry_processing(session, letter.blob_id)


REOPEN: Mapping[str, Reopen] = {"process_image": _reopen_image}
"""By kind. ``on_exhausted`` of the other kinds changes nothing that a retry has to revert."""


class TaskOperations:
    """Without a queue, as on the command line, the sweep of a worker starts retried tasks within two seconds."""

    def __init__(self, database: Database, queue: Queue | None = None) -> None:
        self._sessions = database.sessions
        self._queue = queue

    async def page(
        self, caller: Caller, *, state: TaskState | None, kind: str | None, before: UUID | None, limit: int
    ) -> Sequence[Task]:
        """The newest first. Raises Forbidden."""
        caller.require("admin")
        async with self._sessions() as session:
            return await queries.page_of_tasks(session, state=state, kind=kind, before=before, limit=limit)

    async def retry(self, caller: Caller, task_id: UUID) -> Task:
        """Retry a dead letter and return the pending task. Raises Forbidden, TaskNotFound, TaskNotDead."""
        caller.require("admin")
        task = await self._retry(task_id)
        if self._queue is not None:
            await self._queue.wake(task_id)
        return task

    async def retry_all(self, caller: Caller, wanted: DeadLetters) -> Retried:
        """Retry the dead letters that exist now, each in its own transaction and at most once. Raises Forbidden."""
        caller.require("admin")
        filters = wanted.model_dump(exclude={"limit"})
        async with self._sessions() as session:
            found = await queries.page_of_dead_letters(session, **filters, limit=wanted.limit + 1)
        letters, retried = found[: wanted.limit], 0
        for letter_id in letters:
            try:
                await self._retry(letter_id)
            except (TaskNotFound, TaskNotDead):
                continue  # another request has retried or dropped it
            retried += 1
            if self._queue is not None:
                self._queue.wake_soon(letter_id)
        return Retried(retried=retried, last_id=letters[-1] if len(found) > wanted.limit else None)

    async def _retry(self, task_id: UUID) -> Task:
        async with self._sessions.begin() as session:
            letter = await self._dead_letter(session, task_id)
            if (reopen := REOPEN.get(letter.kind)) is not None:
                await reopen(session, letter)
            await retry(session, [task_id])  # changes nothing when reopening its image has retried it
            task = await queries.task_of(session, task_id)
            if task is None:
                raise TaskNotFound
        return task

    async def drop(self, caller: Caller, task_id: UUID) -> None:
        """Delete a dead letter. Raises Forbidden, TaskNotFound, TaskNotDead."""
        caller.require("admin")
        async with self._sessions.begin() as session:
            letter = await self._dead_letter(session, task_id)
            blob_id = letter.blob_id
            if blob_id is not None:
                await images.lock_blob(session, blob_id)
            locked = await queries.lock_dead_letter(session, task_id)
            if locked is None:
                raise TaskNotDead
            await session.delete(locked)
            await session.flush()
            if blob_id is not None:
                await loose_objects.disown(session, await images.delete_unreferenced_blobs(session, [blob_id]))

    async def _dead_letter(self, session: AsyncSession, task_id: UUID) -> Task:
        """Read without a lock: the lock on a task follows those on blob and images."""
        task = await queries.task_of(session, task_id)
        if task is None:
            raise TaskNotFound
        if task.state != "dead":
            raise TaskNotDead
        return task
