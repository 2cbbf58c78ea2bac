"""Waiting for background work to end: one query a tick for all requests of this process, however many wait."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Hashable

import structlog

from imagesvc.db import Database
from imagesvc.errors import ImagesvcError

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.05
ENDED_IMAGES = """
    -- those that are processed, and those that were deleted meanwhile
    SELECT array_agg(asked) AS ids FROM unnest($1::uuid[]) AS asked
    WHERE NOT EXISTS (SELECT FROM images WHERE id = asked AND state = 'pending')
"""
LIVE_TASKS = "SELECT array_agg(dedupe_key) AS ids FROM tasks WHERE dedupe_key = ANY($1) AND state <> 'dead'"


class CompletionWaiter:
    """Images that leave `pending`, and tasks (by dedupe key) that end. Costs nothing while nobody waits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._images: dict[Hashable, set[asyncio.Future[None]]] = defaultdict(set)
        self._tasks: dict[Hashable, set[asyncio.Future[None]]] = defaultdict(set)
        self._ticking: asyncio.Task[None] | None = None

    async def for_image(self, image_id: Hashable, *, seconds: float) -> None:
        """Returns when the image is not pending any more, or after ``seconds``."""
        await self._wait(self._images, image_id, seconds)

    async def for_task(self, dedupe_key: str, *, seconds: float) -> None:
        """Returns when no unfinished task has this key, or after ``seconds``."""
        await self._wait(self._tasks, dedupe_key, seconds)

    async def _wait(self, waiters: dict[Hashable, set[asyncio.Future[None]]], name: Hashable, seconds: float) -> None:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters[name].add(ended)
        if self._ticking is None or self._ticking.done():
            self._ticking = asyncio.create_task(self._tick())
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await ended
        finally:
            if name in waiters:
                waiters[name].discard(ended)
                if not waiters[name]:
                    del waiters[name]

    async def _tick(self) -> None:
        while self._images or self._tasks:
            try:
                if self._images:
                    row = await self._database.fetch_row(ENDED_IMAGES, list(self._images))
                    self._end(self._images, set(row["ids"] or ()))
                if self._tasks:
                    asked = set(self._tasks)
                    row = await self._database.fetch_row(LIVE_TASKS, list(asked))
                    self._end(self._tasks, asked - set(row["ids"] or ()))
            except ImagesvcError as error:
                log.warning("waiting blindly", problem=error.slug)
            await asyncio.sleep(TICK_SECONDS)

    def _end(self, waiters: dict[Hashable, set[asyncio.Future[None]]], names: set[Hashable]) -> None:
        for name in names:
            for ended in waiters.pop(name, ()):
                if not ended.done():
                    ended.set_result(None)
