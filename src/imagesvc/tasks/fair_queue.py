"""Tasks that take turns: taken by whichever worker has room, from the group that has the fewest under way.

arq's queue is first come, first served: a job of five thousand downloads would keep all that comes later waiting. These
tasks never go there. Each process has places of its own for them, apart from those of other tasks, and fills one from
the group with the fewest tasks running anywhere: a small group goes through beside a large one, and one whose
downloads hang takes no more than its share. Within a group the longest due comes first.
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

LOOK_SECONDS = 0.2
"""How often an idle process looks for tasks: one index look-up for each group."""
AFTER_TROUBLE_SECONDS = 1.0
CHOICE = 4
"""Of a group's first so many one is taken by chance, so that processes seldom want the same."""

# from group to group by the index, which a DISTINCT would read whole; who ties goes by chance
CLAIM = f"""
    -- $1 groups that have had their share of this process, $2 lease, $3 its seconds
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
                ORDER BY t.due_at LIMIT {CHOICE}
            ) head
            WHERE g.turn_of <> ALL($1::uuid[])
        )
        SELECT t.id FROM heads JOIN tasks t ON t.id = heads.id AND t.state = 'pending'
        ORDER BY heads.running, random() LIMIT 1 FOR UPDATE OF t SKIP LOCKED
    )
    RETURNING id, kind, blob_id, image_id, payload, attempts, turn_of
"""  # noqa: S608 - a number of ours

RETURN_ABANDONED = text("""
    UPDATE tasks SET state = 'pending', lease_token = NULL, lease_until = NULL
    WHERE turn_of IS NOT NULL AND state = 'running' AND lease_until < now() RETURNING 1
""")


class FairQueue:
    """The places of one process. Half of them at the most are one group's, so that the next one finds a place free."""

    def __init__(self, settings: Settings, database: Database, runner: Runner) -> None:
        self._places = settings.turns_at_once
        self._max_of_one = max(1, settings.turns_at_once // 2)
        self._lease_seconds = settings.task_lease_seconds
        self._database = database
        self._runner = runner
        self._taking = asyncio.Lock()
        self._under_way: Counter[UUID] = Counter()
        self._freed = asyncio.Event()

    async def take(self) -> None:
        """Run tasks until cancelled; those under way are given back then."""
        places = [asyncio.create_task(self._place()) for _ in range(self._places)]
        try:
            await asyncio.gather(*places)
        finally:
            for place in places:
                place.cancel()
            await asyncio.gather(*places, return_exceptions=True)

    async def recover(self) -> int:
        """What killed workers left goes back to its group; its attempt stays counted. Returns how many."""
        async with self._database.sessions.begin() as session:
            return len((await session.execute(RETURN_ABANDONED)).all())

    async def _place(self) -> None:
        while True:
            try:
                lease = await self._next()
                try:
                    await self._runner.run_claimed(lease)
                finally:
                    self._leave(lease)
            except Exception as error:
                # what it was is in the task's row or, when that could not be written, found by its lease's end
                log.warning("turn broken off", error=type(error).__name__)
                await asyncio.sleep(AFTER_TROUBLE_SECONDS)

    async def _next(self) -> Lease:
        """One place looks for all that are free."""
        async with self._taking:
            while True:
                self._freed.clear()
                lease = await self._runner.claim(self._claim())
                if lease is not None:
                    self._under_way[self._group(lease)] += 1
                    return lease
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._freed.wait()

    async def _claim(self) -> Lease | None:
        full = [group for group, count in self._under_way.items() if count >= self._max_of_one]
        token = new_id()
        # one statement by itself: an idle process asks all the time
        row = await self._database.fetch_row(CLAIM, full, token, self._lease_seconds)
        if row is None:
            return None
        return Lease(
            task_id=row["id"],
            token=token,
            kind=row["kind"],
            blob_id=row["blob_id"],
            image_id=row["image_id"],
            payload=row["payload"],
            attempt=row["attempts"],
            turn_of=row["turn_of"],
        )

    def _leave(self, lease: Lease) -> None:
        group = self._group(lease)
        self._under_way[group] -= 1
        if not self._under_way[group]:
            del self._under_way[group]
        self._freed.set()

    @staticmethod
    def _group(lease: Lease) -> UUID:
        assert lease.turn_of is not None  # noqa: S101 - it was taken by its group
        return lease.turn_of
