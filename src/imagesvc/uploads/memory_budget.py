"""A limit on the memory that all uploads of one process use together."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

from imagesvc.uploads.errors import NoRoom


class MemoryBudget:
    """Grants memory in the order of requests.

    An upload takes its whole working set when it begins, so none waits while it holds memory.
    """

    def __init__(self, total_bytes: int, *, wait_seconds: float, max_waiting: int) -> None:
        self._total = total_bytes
        self._free = total_bytes
        self._wait_seconds = wait_seconds
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def taken_bytes(self) -> int:
        return self._total - self._free

    @contextlib.asynccontextmanager
    async def take(self, wanted_bytes: int) -> AsyncIterator[None]:
        """Hold ``wanted_bytes``, at most the whole budget, inside the block.

        Raises NoRoom after ``wait_seconds``, or at once when ``max_waiting`` uploads already wait.
        """
        amount = min(wanted_bytes, self._total)
        await self._take(amount)
        try:
            yield
        finally:
            self._free += amount
            self._grant()

    async def _take(self, amount: int) -> None:
        if not self._waiting and amount <= self._free:
            self._free -= amount
            return
        if len(self._waiting) >= self._max_waiting:
            raise NoRoom
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, granted))
        try:
            async with asyncio.timeout(self._wait_seconds):
                await asyncio.shield(granted)
        except BaseException as error:
            if granted.done():
                self._free += amount  # granted and cancelled in the same iteration of the loop
            else:
                self._waiting.remove((amount, granted))
            self._grant()
            if isinstance(error, TimeoutError):
                raise NoRoom from error
            raise

    def _grant(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            amount, granted = self._waiting.popleft()
            self._free -= amount
            granted.set_result(None)
