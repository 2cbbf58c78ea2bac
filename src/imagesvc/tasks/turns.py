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
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Uuid

from imagesvc.db import Database
from imagesvc.settings import Settings
from imagesvc.tasks import leases
from imagesvc.tasks.leases import Lease
from imagesvc.tasks.runner import Runner

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.2
"""How often an idle process looks for tasks: one index look-up for each group."""
AFTER_TROUBLE_SECONDS = 1.0
CHOICE = 4
"""Of a group's first so many one is taken by chance, so that processes seldom want the same."""

# from group to group by the index, which a DISTINCT would read whole; who ties goes by chance
NEXT = text(f"""
    tasks.id = (
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
            WHERE g.turn_of <> ALL(:full)
        )
        SELECT t.id FROM heads JOIN tasks t ON t.id = heads.id AND t.state = 'pending'
        ORDER BY heads.running, random() LIMIT 1 FOR UPDATE OF t SKIP LOCKED
    )
""").bindparams(bindparam("full", type_=ARRAY(Uuid())))  # noqa: S608 - a number of ours

RETURN_ABANDONED = text("""
    UPDATE tasks SET state = 'pending', lease_token = NULL, lease_until = NULL
    WHERE turn_of IS NOT NULL AND state = 'running' AND lease_until < now() RETURNING 1
""")


class Turns:
    """The places of one process. Half of them at the most are one group's, so that the next one finds a place free."""

    def __init__(self, settings: Settings, database: Database, runner: Runner) -> None:
        self._places = settings.turns_at_once
        self._most_of_one = max(1, settings.turns_at_once // 2)
        self._lease_seconds = settings.task_lease_seconds
        self._sessions = database.sessions
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
        async with self._sessions.begin() as session:
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
                lease = await self._runner.claim(self._claim_next)
                if lease is not None:
                    self._under_way[self._group(lease)] += 1
                    return lease
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._freed.wait()

    async def _claim_next(self, session: AsyncSession) -> Lease | None:
        full = [group for group, count in self._under_way.items() if count >= self._most_of_one]
        return await leases.claim_one(session, NEXT.bindparams(full=full), seconds=self._lease_seconds)

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
