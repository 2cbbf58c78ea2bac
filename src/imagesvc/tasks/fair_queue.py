"""Runs tasks that belong to a group, and takes the next one from the group with the fewest running tasks.

arq's queue is first come, first served: a job of five thousand downloads would delay every later task. Tasks with a
group never go through arq. Each process runs a fixed number of them in slots of their own, apart from those of other
tasks. A free slot takes a task from the group that has the fewest running in all processes, so that a small group
proceeds beside a large one, and a group whose downloads hang takes no more than its share. Within a group, the task
that has been due longest is first.

The claim uses asyncpg because idle processes run it all the time.
"""

import asyncio
import contextlib
from collections import Counter
from uuid import UUID

import structlog
from sqlalchemy import text

from imagesvc.db import Database, new_id
from imagesvc.settings import Settings
from imagesvc.tasks.leases import Lease
from imagesvc.tasks.runner import Runner

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.2
"""How often an idle process looks for tasks. One look costs one index lookup per group."""
ERROR_PAUSE_SECONDS = 1.0
CANDIDATES_PER_GROUP = 4
"""A claim picks at random among so many tasks of a group, so that processes seldom compete for the same row."""

# The recursive query steps from group to group through the index; DISTINCT would read the whole index.
# Ties between groups are broken at random.
CLAIM = f"""
    -- $1 groups that have their share of this process's slots, $2 lease token, $3 lease in seconds
    UPDATE tasks SET state = 'running', lease_token = $2, lease_until = now() + make_interval(secs => $3),
        attempts = attempts + 1
    WHERE id = (
        WITH RECURSIVE groups AS (
            (SELECT turn_of FROM tasks WHERE turn_of IS NOT NULL ORDER BY turn_of LIMIT 1)
            UNION ALL
            SELECT (SELECT t.turn_of FROM tasks t WHERE t.turn_of > g.turn_of ORDER BY t.turn_of LIMIT 1)
            FROM groups g WHERE g.turn_of IS NOT NULL
        ), heads AS (
            SELECT head.id,
                   (SELECT count(*) FROM tasks r WHERE r.turn_of = g.turn_of AND r.state = 'running') AS running
            FROM groups g CROSS JOIN LATERAL (
                SELECT t.id FROM tasks t
                WHERE t.turn_of = g.turn_of AND t.state = 'pending' AND t.due_at <= now()
                ORDER BY t.due_at LIMIT {CANDIDATES_PER_GROUP}
            ) head
            WHERE g.turn_of <> ALL($1::uuid[])
        )
        SELECT t.id FROM heads JOIN tasks t ON t.id = heads.id AND t.state = 'pending'
        ORDER BY heads.running, random() LIMIT 1 FOR UPDATE OF t SKIP LOCKED
    )
    RETURNING id AS task_id, lease_token AS token, kind, blob_id, image_id, payload, attempts AS attempt, turn_of
"""  # noqa: S608 - the inserted number is a constant

RETURN_ABANDONED = text("""
    UPDATE tasks SET state = 'pending', lease_token = NULL, lease_until = NULL
    WHERE turn_of IS NOT NULL AND state = 'running' AND lease_until < now() RETURNING 1
""")


class FairQueue:
    """The slots of one process. One group gets at most half of them, so that the next group finds a slot free."""

    def __init__(self, settings: Settings, database: Database, runner: Runner) -> None:
        self._slots = settings.turns_at_once
        self._max_per_group = max(1, settings.turns_at_once // 2)
        self._lease_seconds = settings.task_lease_seconds
        self._database = database
        self._runner = runner
        self._claiming = asyncio.Lock()
        self._running: Counter[UUID] = Counter()
        self._slot_freed = asyncio.Event()

    async def run(self) -> None:
        """Run tasks until cancelled. Cancelling gives the running attempts back."""
        slots = [asyncio.create_task(self._run_slot()) for _ in range(self._slots)]
        try:
            await asyncio.gather(*slots)
        finally:
            for slot in slots:
                slot.cancel()
            await asyncio.gather(*slots, return_exceptions=True)

    async def recover(self) -> int:
        """Make the tasks of killed workers pending again. Their attempts stay counted. Returns how many there were."""
        async with self._database.sessions.begin() as session:
            return len((await session.execute(RETURN_ABANDONED)).all())

    async def _run_slot(self) -> None:
        while True:
            try:
                lease = await self._next()
                try:
                    await self._runner.run_claimed(lease)
                finally:
                    self._release(lease)
            except Exception as error:
                # The task's row has the reason. When that could not be written, the lease expires and the task is
                # claimed again.
                log.warning("task aborted", error=type(error).__name__)
                await asyncio.sleep(ERROR_PAUSE_SECONDS)

    async def _next(self) -> Lease:
        """Wait for a task. Only one slot polls at a time, on behalf of all free slots."""
        async with self._claiming:
            while True:
                self._slot_freed.clear()
                lease = await self._runner.claim(self._claim())
                if lease is not None:
                    self._running[_group_of(lease)] += 1
                    return lease
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._slot_freed.wait()

    async def _claim(self) -> Lease | None:
        full = [group for group, running in self._running.items() if running >= self._max_per_group]
        return await self._database.fetch_one_or_none(CLAIM, Lease, full, new_id(), self._lease_seconds)

    def _release(self, lease: Lease) -> None:
        group = _group_of(lease)
        self._running[group] -= 1
        if not self._running[group]:
            del self._running[group]
        self._slot_freed.set()


def _group_of(lease: Lease) -> UUID:
    assert lease.turn_of is not None  # noqa: S101 - the claim selects tasks with a group
    return lease.turn_of
