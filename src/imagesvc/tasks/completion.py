"""Waits until images are processed or tasks have ended, with one query per poll for all waiting requests of a process.

Both statements use asyncpg: they run 20 times a second while any request waits.
"""

import asyncio
import contextlib
import dataclasses
from collections import defaultdict
from collections.abc import Hashable
from uuid import UUID

import structlog

from imagesvc.db import Database
from imagesvc.errors import ImagesvcError

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.05
ENDED_IMAGES = """
    -- those that are processed, and those that were deleted in the meantime
    SELECT coalesce(array_agg(asked), '{}') AS ids FROM unnest($1::uuid[]) AS asked
    WHERE NOT EXISTS (SELECT FROM images WHERE id = asked AND state = 'pending')
"""
LIVE_TASKS = """
    SELECT coalesce(array_agg(dedupe_key), '{}') AS dedupe_keys FROM tasks
    WHERE dedupe_key = ANY($1) AND state <> 'dead'
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EndedImages:
    ids: list[UUID]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LiveTasks:
    dedupe_keys: list[str]


Waiters = dict[Hashable, set[asyncio.Future[None]]]


class CompletionWaiter:
    """Waits for images to leave `pending` and for tasks to end. Polls the database only while a request waits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._images: Waiters = defaultdict(set)
        self._tasks: Waiters = defaultdict(set)
        self._polling: asyncio.Task[None] | None = None

    async def for_image(self, image_id: UUID, *, seconds: float) -> None:
        """Return when the image is no longer pending, at the latest after ``seconds``."""
        await self._wait(self._images, image_id, seconds)

    async def for_task(self, dedupe_key: str, *, seconds: float) -> None:
        """Return when no pending or running task has this key, at the latest after ``seconds``."""
        await self._wait(self._tasks, dedupe_key, seconds)

    async def _wait(self, waiters: Waiters, key: Hashable, seconds: float) -> None:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters[key].add(ended)
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await ended
        finally:
            if key in waiters:
                waiters[key].discard(ended)
                if not waiters[key]:
                    del waiters[key]

    async def _poll(self) -> None:
        while self._images or self._tasks:
            try:
                if self._images:
                    images = await self._database.fetch_one(ENDED_IMAGES, EndedImages, list(self._images))
                    self._notify(self._images, set(images.ids))
                if self._tasks:
                    asked = set(self._tasks)
                    tasks = await self._database.fetch_one(LIVE_TASKS, LiveTasks, list(asked))
                    self._notify(self._tasks, asked - set(tasks.dedupe_keys))
            except ImagesvcError as error:
                log.warning("poll failed", problem=error.slug)
            await asyncio.sleep(POLL_SECONDS)

    def _notify(self, waiters: Waiters, keys: set[Hashable]) -> None:
        for key in keys:
            for ended in waiters.pop(key, ()):
                if not ended.done():
                    ended.set_result(None)
