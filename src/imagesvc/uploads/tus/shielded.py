"""What is done to its end although the request that began it is cancelled: an orderly stop cuts requests off."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from imagesvc.errors import ImagesvcError

log = structlog.get_logger(__name__)


class ShieldedWork:
    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def do(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do it, and raise nothing but our own cancellation: whatever fails here is mended by others later."""
        task = asyncio.create_task(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def settle(self) -> None:
        """Wait for all of it, before what it needs is closed."""
        while self._tasks:
            await asyncio.wait(self._tasks)


async def _quietly(work: Coroutine[Any, Any, Any]) -> None:
    try:
        await work
    except ImagesvcError as error:
        log.warning("what had arrived was not stored", problem=error.slug)
    except Exception:
        log.exception("what had arrived was not stored")
