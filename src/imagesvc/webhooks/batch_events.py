"""The event `batch.finished`: the request of a batch has ended, and all of its uploads are processed.

A trigger inserts a task when an account with a webhook for this event begins a batch. The web process makes the task
due when the request ends. A process that was killed could not do that: then the task becomes due later, and the batch
counts as ended when it has had no upload for ten minutes.
"""

import datetime as dt
import time
from uuid import UUID

from imagesvc.db import Database
from imagesvc.tasks import leases
from imagesvc.tasks.leases import Lease
from imagesvc.tasks.queue import Queue
from imagesvc.webhooks import queries
from imagesvc.webhooks.queries import BatchCounts, EndedBatch, Listener

IDLE = dt.timedelta(minutes=10)
"""A batch without uploads for so long has ended. The trigger (migrations) has the same value."""
RECHECK_SECONDS = 1.0
CACHE_SECONDS = 2.0
MAX_CACHED = 10_000


class BatchEvents:
    """Called by the web process when the request of a batch ends.

    Whether an account has a webhook for the event is cached briefly, so that batches of other accounts cost no query.
    """

    def __init__(self, database: Database, queue: Queue) -> None:
        self._database = database
        self._queue = queue
        self._cache: dict[UUID, tuple[float, bool]] = {}

    async def request_ended(self, owner_id: UUID, batch_id: UUID) -> None:
        """Record that the batch gets no more uploads."""
        if await self._is_listening(owner_id):
            ended = await self._database.fetch_one_or_none(queries.END_BATCH, EndedBatch, str(batch_id))
            if ended is not None:
                await self._queue.wake(ended.task_id)

    async def _is_listening(self, owner_id: UUID) -> bool:
        now = time.monotonic()
        until, is_listening = self._cache.get(owner_id, (0.0, False))
        if now >= until:
            if len(self._cache) >= MAX_CACHED:
                self._cache.clear()
            is_listening = (await self._database.fetch_one(queries.HAS_LISTENER, Listener, owner_id)).is_listening
            self._cache[owner_id] = now + CACHE_SECONDS, is_listening
        return is_listening


class BatchFinishedTask:
    """Handles the task ``announce_batch``."""

    def __init__(self, database: Database) -> None:
        self._sessions = database.sessions

    async def announce(self, lease: Lease) -> None:
        """Insert the event when the batch has finished; otherwise postpone the task."""
        batch_id = lease.payload_id("batch_id")
        async with self._sessions.begin() as session:
            counts = await queries.batch_counts(session, batch_id)
            if counts is not None:
                if not lease.payload.get("request_ended") and counts.idle < IDLE:
                    await leases.give_back(session, lease, seconds=IDLE.total_seconds())
                    return
                if counts.unsettled:
                    await leases.give_back(session, lease, seconds=RECHECK_SECONDS)
                    return
                data = _event_data(batch_id, counts)
                await queries.insert_event(session, counts.owner_id, "batch.finished", subject=batch_id, data=data)
            await leases.finish(session, lease)


def _event_data(batch_id: UUID, counts: BatchCounts) -> dict[str, object]:
    return {
        "batch_id": str(batch_id),
        "uploads": counts.uploads,
        "duplicates": counts.duplicates,
        "images": {"ready": counts.ready, "rejected": counts.rejected, "failed": counts.failed},
        "refused_files": counts.refused_files,
        "url": f"/v1/batches/{batch_id}",
    }
