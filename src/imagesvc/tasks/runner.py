"""Runs one task: claim, keep the lease alive, call its handler, and see to what a failure leaves."""

import asyncio
import contextlib
import dataclasses
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.db import Database
from imagesvc.metrics import instruments
from imagesvc.settings import Settings
from imagesvc.tasks import leases
from imagesvc.tasks.leases import Lease, LeaseLost

log = structlog.get_logger(__name__)

MAX_DELAY_SECONDS = 3600.0
T = TypeVar("T")


class RetryTask(Exception):
    """A handler's word that this attempt failed for a known reason; ``reason`` is a slug for the dead letter.

    ``at_most`` bounds the attempts below the kind's own, where repeating helps little and costs much. ``key`` is what
    the attempt read: the last words about a blob hold only for that. ``counts`` is False where a dependency is away:
    no outage, however long, then uses up the attempts.
    """

    def __init__(self, reason: str, *, at_most: int | None = None, key: str | None = None, counts: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.at_most = at_most
        self.key = key
        self.counts = counts


Handler = Callable[[Lease], Awaitable[None]]
"""Does the work and ends the task in its result's transaction (``leases.finish``)."""
OnExhausted = Callable[[AsyncSession, Lease, RetryTask], Awaitable[None]]
"""What a task that is given up leaves behind, written before the task's row in the same transaction."""


async def do_nothing(session: AsyncSession, lease: Lease, error: RetryTask) -> None:
    """For kinds whose dead letter says it all."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How tasks of one kind are run, and what becomes of one that is given up."""

    handler: Handler
    on_exhausted: OnExhausted = do_nothing
    max_attempts: int = 5


class Runner:
    def __init__(self, settings: Settings, database: Database, kinds: Mapping[str, Kind]) -> None:
        self._settings = settings
        self._sessions = database.sessions
        self._kinds = kinds

    async def run(self, task_id: UUID) -> bool:
        """Run the task if it is to be had; True when its handler ended it."""
        lease = await self.claim(self._claim(task_id))
        return lease is not None and await self.run_claimed(lease)

    async def claim(self, claiming: Coroutine[Any, Any, Lease | None]) -> Lease | None:
        """What ``claiming`` claims, given back at once when we are cancelled meanwhile."""
        lease, is_cancelled = await _to_the_end(claiming)
        if is_cancelled:
            if lease is not None:
                await self._give_back_anyway(lease)
            raise asyncio.CancelledError
        return lease

    async def run_claimed(self, lease: Lease) -> bool:
        """Run a task that was claimed just now; True when its handler ended it."""
        task_id, kind = lease.task_id, self._kinds[lease.kind]
        try:
            if lease.attempt > kind.max_attempts:
                # every attempt was counted and none came back: this task takes its workers down
                await self._failed(lease, kind, RetryTask("worker-died"))
                return False
            with instruments.timed_attempt(lease.kind):
                async with self._kept_alive(lease):
                    await kind.handler(lease)
        except LeaseLost:
            instruments.TASKS.labels(lease.kind, "lost").inc()
            log.info("lease lost", task_id=str(task_id), kind=lease.kind)
            return False
        except asyncio.CancelledError:
            instruments.TASKS.labels(lease.kind, "returned").inc()
            await self._give_back_anyway(lease)
            raise
        except RetryTask as error:
            await self._failed(lease, kind, error)
            return False
        except Exception as error:
            log.exception("task failed", task_id=str(task_id), kind=lease.kind, attempt=lease.attempt)
            await self._failed(lease, kind, RetryTask(type(error).__name__))
            return False
        instruments.TASKS.labels(lease.kind, "done").inc()
        return True

    async def _claim(self, task_id: UUID) -> Lease | None:
        async with self._sessions.begin() as session:
            return await leases.claim(session, task_id, seconds=self._settings.task_lease_seconds)

    async def _give_back_anyway(self, lease: Lease) -> None:
        """For the way out, which nothing may block: what cannot be written now is found by the lease's end."""
        try:
            await _to_the_end(self._give_back(lease))
        except Exception as error:
            log.warning("attempt not given back", task_id=str(lease.task_id), error=type(error).__name__)

    async def _give_back(self, lease: Lease) -> None:
        with contextlib.suppress(LeaseLost):
            async with self._sessions.begin() as session:
                await leases.give_back(session, lease)

    async def _failed(self, lease: Lease, kind: Kind, error: RetryTask) -> None:
        most = min(kind.max_attempts, error.at_most or kind.max_attempts)
        result = "returned" if not error.counts else "retried" if lease.attempt < most else "dead"
        instruments.TASKS.labels(lease.kind, result).inc()
        with contextlib.suppress(LeaseLost):
            async with self._sessions.begin() as session:
                if not error.counts:
                    await leases.give_back(session, lease, seconds=self._settings.task_retry_seconds)
                elif lease.attempt < most:
                    delay = min(self._settings.task_retry_seconds * 2 ** (lease.attempt - 1), MAX_DELAY_SECONDS)
                    seconds = delay * random.uniform(0.8, 1.2)  # noqa: S311 - spreads retries, guards nothing
                    await leases.retry_later(session, lease, seconds=seconds, error=error.reason)
                else:
                    await kind.on_exhausted(session, lease, error)
                    await leases.mark_dead(session, lease, error=error.reason)
                    log.error("dead letter", task_id=str(lease.task_id), kind=lease.kind, reason=error.reason)

    @contextlib.asynccontextmanager
    async def _kept_alive(self, lease: Lease) -> AsyncIterator[None]:
        """Renews the lease while the handler works; a lost lease cancels the handler and is raised as LeaseLost."""
        seconds = self._settings.task_lease_seconds
        worker = asyncio.current_task()
        lost = False

        async def renewing() -> None:
            nonlocal lost
            while True:
                await asyncio.sleep(seconds / 3)
                try:
                    async with self._sessions.begin() as session:
                        await leases.renew(session, lease, seconds=seconds)
                except LeaseLost:
                    lost = True
                    assert worker is not None  # noqa: S101 - we run inside a task
                    worker.cancel()
                    return
                except Exception as error:
                    log.warning("lease not renewed", task_id=str(lease.task_id), error=type(error).__name__)

        renewal = asyncio.create_task(renewing())
        try:
            yield
        except asyncio.CancelledError:
            if lost:
                if worker is not None:
                    worker.uncancel()
                raise LeaseLost from None
            raise
        finally:
            renewal.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewal


async def _to_the_end(work: Coroutine[Any, Any, T]) -> tuple[T, bool]:
    """The result, and whether we were cancelled meanwhile: a claim cut in half would hold its task for a lease.

    Work that fails after we were cancelled is a cancellation: its error would keep whoever loops around it from ending.
    """
    task, is_cancelled = asyncio.create_task(work), False
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            is_cancelled = True
    if is_cancelled and (error := task.exception()) is not None:
        raise asyncio.CancelledError from error
    return task.result(), is_cancelled
