"""Runs one task: claims it, renews the lease, calls the handler, and records a failure as a retry or a dead letter."""

import asyncio
import contextlib
import dataclasses
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import TypeVar
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
    """Raised by a handler whose attempt failed for a known reason. ``reason`` is a slug for the dead letter.

    ``at_most`` lowers the kind's limit of attempts, where another attempt is unlikely to help and expensive. ``key`` is
    the object that the attempt read: ``OnExhausted`` changes a blob only while the blob still has that key. ``counts``
    is False when a dependency is unavailable, so that no outage, however long, uses up the attempts.
    """

    def __init__(self, reason: str, *, at_most: int | None = None, key: str | None = None, counts: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.at_most = at_most
        self.key = key
        self.counts = counts


Handler = Callable[[Lease], Awaitable[None]]
"""Does the work, and deletes the task in the transaction that writes the result (``leases.finish``)."""
OnExhausted = Callable[[AsyncSession, Lease, RetryTask], Awaitable[None]]
"""Writes what the last failure of a task means, in the transaction that makes it a dead letter, before its row."""


async def do_nothing(session: AsyncSession, lease: Lease, error: RetryTask) -> None:
    """The ``OnExhausted`` of kinds that leave nothing but the dead letter."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How tasks of one kind run, and what happens when their attempts are used up."""

    handler: Handler
    on_exhausted: OnExhausted = do_nothing
    max_attempts: int = 5


class Runner:
    """Runs tasks of the given kinds in this process."""

    def __init__(self, settings: Settings, database: Database, kinds: Mapping[str, Kind]) -> None:
        self._settings = settings
        self._database = database
        self._sessions = database.sessions
        self._kinds = kinds

    async def run(self, task_id: UUID) -> bool:
        """Run the task if it can be claimed. Returns whether its handler completed it."""
        lease = await self.claim(self._claim(task_id))
        return lease is not None and await self.run_claimed(lease)

    async def claim(self, claiming: Coroutine[object, None, Lease | None]) -> Lease | None:
        """Await ``claiming``. A claim that completes after this task was cancelled is given back at once."""
        lease, is_cancelled = await _run_uninterrupted(claiming)
        if is_cancelled:
            if lease is not None:
                await self._give_back_on_shutdown(lease)
            raise asyncio.CancelledError
        return lease

    async def run_claimed(self, lease: Lease) -> bool:
        """Run a task that this process has claimed. Returns whether its handler completed it."""
        task_id, kind = lease.task_id, self._kinds[lease.kind]
        try:
            if lease.attempt > kind.max_attempts:
                # all attempts are counted but none reported a result: this task kills its workers
                await self._record_failure(lease, kind, RetryTask("worker-died"))
                return False
            with instruments.timed_attempt(lease.kind):
                async with self._renewing(lease):
                    await kind.handler(lease)
        except LeaseLost:
            instruments.TASKS.labels(lease.kind, "lost").inc()
            log.info("lease lost", task_id=str(task_id), kind=lease.kind)
            return False
        except asyncio.CancelledError:
            instruments.TASKS.labels(lease.kind, "returned").inc()
            await self._give_back_on_shutdown(lease)
            raise
        except RetryTask as error:
            await self._record_failure(lease, kind, error)
            return False
        except Exception as error:
            log.exception("task failed", task_id=str(task_id), kind=lease.kind, attempt=lease.attempt)
            await self._record_failure(lease, kind, RetryTask(type(error).__name__))
            return False
        instruments.TASKS.labels(lease.kind, "done").inc()
        return True

    async def _claim(self, task_id: UUID) -> Lease | None:
        return await leases.claim(self._database, task_id, seconds=self._settings.task_lease_seconds)

    async def _give_back_on_shutdown(self, lease: Lease) -> None:
        """Give the attempt back. Called during shutdown; must not raise. After an error the lease simply expires."""
        try:
            await _run_uninterrupted(self._give_back(lease))
        except Exception as error:
            log.warning("attempt not given back", task_id=str(lease.task_id), error=type(error).__name__)

    async def _give_back(self, lease: Lease) -> None:
        with contextlib.suppress(LeaseLost):
            async with self._sessions.begin() as session:
                await leases.give_back(session, lease)

    async def _record_failure(self, lease: Lease, kind: Kind, error: RetryTask) -> None:
        max_attempts = min(kind.max_attempts, error.at_most or kind.max_attempts)
        result = "returned" if not error.counts else "retried" if lease.attempt < max_attempts else "dead"
        instruments.TASKS.labels(lease.kind, result).inc()
        with contextlib.suppress(LeaseLost):
            async with self._sessions.begin() as session:
                if not error.counts:
                    await leases.give_back(session, lease, seconds=self._settings.task_retry_seconds)
                elif lease.attempt < max_attempts:
                    delay = min(self._settings.task_retry_seconds * 2 ** (lease.attempt - 1), MAX_DELAY_SECONDS)
                    seconds = delay * random.uniform(0.8, 1.2)  # noqa: S311 - spreads retries, needs no security
                    await leases.retry_later(session, lease, seconds=seconds, error=error.reason)
                else:
                    await kind.on_exhausted(session, lease, error)
                    await leases.mark_dead(session, lease, error=error.reason)
                    log.error("dead letter", task_id=str(lease.task_id), kind=lease.kind, reason=error.reason)

    @contextlib.asynccontextmanager
    async def _renewing(self, lease: Lease) -> AsyncIterator[None]:
        """Renew the lease while the handler runs. A lost lease cancels the handler and raises LeaseLost.

        A handler that ends within a third of the lease costs one timer.
        """
        seconds = self._settings.task_lease_seconds
        handler = asyncio.current_task()
        is_lost = False

        async def renew() -> None:
            nonlocal is_lost
            while True:
                try:
                    async with self._sessions.begin() as session:
                        await leases.renew(session, lease, seconds=seconds)
                except LeaseLost:
                    is_lost = True
                    assert handler is not None  # noqa: S101 - this coroutine runs inside a task
                    handler.cancel()
                    return
                except Exception as error:
                    log.warning("lease not renewed", task_id=str(lease.task_id), error=type(error).__name__)
                await asyncio.sleep(seconds / 3)

        renewals: list[asyncio.Task[None]] = []
        timer = asyncio.get_running_loop().call_later(
            seconds / 3, lambda: renewals.append(asyncio.create_task(renew()))
        )
        try:
            yield
        except asyncio.CancelledError:
            if is_lost:
                if handler is not None:
                    handler.uncancel()
                raise LeaseLost from None
            raise
        finally:
            timer.cancel()
            for renewal in renewals:
                renewal.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await renewal


async def _run_uninterrupted(work: Coroutine[object, None, T]) -> tuple[T, bool]:
    """Run ``work`` to its end even when cancelled. Returns its result, and whether the caller was cancelled.

    An interrupted claim would block its task until the lease expires. When the caller was cancelled and ``work`` fails,
    this raises CancelledError: with the error of ``work`` instead, a loop around the call would catch it and go on.
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
