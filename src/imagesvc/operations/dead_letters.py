"""Look at tasks, try dead letters again, drop them.

A retried task is as a new one: if it succeeds, its row goes, and with it the alarm. What its death had ended is opened
again first, in the same transaction. A dropped one ends its reference to a blob, which may be the last.
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
"""Takes back what a dead letter's last words had ended; locks what comes before tasks in the order of locks."""


async def _reopen_image(session: AsyncSession, letter: Task) -> None:
    if letter.blob_id is not None:
        await retry_processing(session, letter.blob_id)


REOPEN: Mapping[str, Reopen] = {"process_image": _reopen_image}
"""By kind; a kind that is not here has ended nothing but itself."""


class TaskOperations:
    """Without a queue, as on the command line, the sweep of a worker sends what was retried, within two seconds."""

    def __init__(self, database: Database, queue: Queue | None = None) -> None:
        self._sessions = database.sessions
        self._queue = queue

    async def page(
        self, caller: Caller, *, state: TaskState | None, kind: str | None, before: UUID | None, limit: int
    ) -> Sequence[Task]:
        caller.require("admin")
        async with self._sessions() as session:
            return await queries.page_of_tasks(session, state=state, kind=kind, before=before, limit=limit)

    async def retry(self, caller: Caller, task_id: UUID) -> Task:
        """The task as it is then. Raises TaskNotFound, TaskNotDead."""
        caller.require("admin")
        task = await self._retry(task_id)
        if self._queue is not None:
            await self._queue.wake(task_id)
        return task

    async def retry_all(self, caller: Caller, wanted: DeadLetters) -> Retried:
        """Those that are dead now, each in a transaction of its own: what fails again meanwhile is not met twice."""
        caller.require("admin")
        filters = wanted.model_dump(exclude={"limit"})
        async with self._sessions() as session:
            found = await queries.page_of_dead_letters(session, **filters, limit=wanted.limit + 1)
        letters, retried = found[: wanted.limit], 0
        for letter_id in letters:
            try:
                await self._retry(letter_id)
            except (TaskNotFound, TaskNotDead):
                continue  # somebody else was quicker
            retried += 1
            if self._queue is not None:
                self._queue.wake_soon(letter_id)
        return Retried(retried=retried, last_id=letters[-1] if len(found) > wanted.limit else None)

    async def _retry(self, task_id: UUID) -> Task:
        async with self._sessions.begin() as session:
            letter = await self._dead_letter(session, task_id)
            if (open_again := REOPEN.get(letter.kind)) is not None:
                await open_again(session, letter)
            await retry(session, [task_id])  # unless that was done with its image
            task = await queries.task_of(session, task_id)
            if task is None:
                raise TaskNotFound
        return task

    async def drop(self, caller: Caller, task_id: UUID) -> None:
        """Raises TaskNotFound, TaskNotDead."""
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
        """Only looked at: the lock on a task comes after others."""
        task = await queries.task_of(session, task_id)
        if task is None:
            raise TaskNotFound
        if task.state != "dead":
            raise TaskNotDead
        return task
