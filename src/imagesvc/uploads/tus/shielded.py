"""Work that finishes even if its request is cancelled, as an orderly stop does."""

import asyncio
from collections.abc import Coroutine

import structlog

from imagesvc.errors import ImagesvcError

log = structlog.get_logger(__name__)


class ShieldedWork:
    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def do(self, work: Coroutine[object, None, object]) -> None:
        """Run the work to its end. Raises only the cancellation of the caller.

        A failure is logged: the reaper, or the next request, repairs what is left.
        """
        task = asyncio.create_task(_logging_errors(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def settle(self) -> None:
        """Wait for all work, before the connections that it uses are closed."""
        while self._tasks:
            await asyncio.wait(self._tasks)


async def _logging_errors(work: Coroutine[object, None, object]) -> None:
    try:
        await work
    except ImagesvcError as error:
        log.warning("received bytes were not stored", problem=error.slug)
    except Exception:
        log.exception("received bytes were not stored")
