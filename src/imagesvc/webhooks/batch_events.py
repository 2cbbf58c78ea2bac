"""When a batch has finished: its request has ended, and so has the processing of all that came by it.

A trigger makes a task when a batch begins that somebody wants to hear of. The web process makes it due when the request
ends; where a killed process could not, it comes due by itself, and the batch counts as ended when nothing came by it
for ten minutes.
"""

import datetime as dt
import json
import time
from uuid import UUID

from imagesvc.db import Database
from imagesvc.tasks import leases
from imagesvc.tasks.leases import Lease
from imagesvc.tasks.queue import Queue
from imagesvc.webhooks import queries

QUIET = dt.timedelta(minutes=10)
"""Also in the trigger (migrations)."""
LOOK_AGAIN_SECONDS = 1.0
REMEMBERED_SECONDS = 2.0
MAX_REMEMBERED = 10_000


class BatchEvents:
    """Told by the web process. Whether an account listens is remembered for a moment: the others then cost nothing."""

    def __init__(self, database: Database, queue: Queue) -> None:
        self._database = database
        self._queue = queue
        self._listens: dict[UUID, tuple[float, bool]] = {}

    async def request_ended(self, owner_id: UUID, batch_id: UUID) -> None:
        """Nothing more comes by this batch."""
        if await self._is_listening(owner_id):
            row = await self._database.fetch_row(queries.END_BATCH, str(batch_id))
            if row is not None:
                await self._queue.wake(row["id"])

    async def _is_listening(self, owner_id: UUID) -> bool:
        now = time.monotonic()
        until, listens = self._listens.get(owner_id, (0.0, False))
        if now >= until:
            if len(self._listens) >= MAX_REMEMBERED:
                self._listens.clear()
            listens = bool((await self._database.fetch_row(queries.HAS_LISTENER, owner_id))["found"])
            self._listens[owner_id] = now + REMEMBERED_SECONDS, listens
        return listens


class BatchFinishedTask:
    def __init__(self, database: Database) -> None:
        self._sessions = database.sessions

    async def announce(self, lease: Lease) -> None:
        """The task's handler. Looks again a moment later while something of the batch is under way."""
        batch_id = UUID(lease.payload["batch_id"])
        async with self._sessions.begin() as session:
            row = (await session.execute(queries.BATCH, {"batch": batch_id})).one_or_none()
            if row is not None:
                has_ended = lease.payload.get("request_ended") or row.last_seen <= row.now - QUIET
                if not has_ended:
                    await leases.give_back(session, lease, seconds=QUIET.total_seconds())
                    return
                if row.unsettled:
                    await leases.give_back(session, lease, seconds=LOOK_AGAIN_SECONDS)
                    return
                data = {
                    "batch_id": str(batch_id),
                    "uploads": row.uploads,
                    "duplicates": row.duplicates,
                    "images": {"ready": row.ready, "rejected": row.unusable, "failed": row.failed},
                    "refused_files": row.rejected,
                    "url": f"/v1/batches/{batch_id}",
                }
                event = {"owner": row.owner_id, "event": "batch.finished", "subject": batch_id}
                await session.execute(queries.EVENT, {**event, "data": json.dumps(data)})
            await leases.finish(session, lease)
