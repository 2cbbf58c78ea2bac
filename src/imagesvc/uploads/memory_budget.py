"""One bound on the bytes that all uploads of this process hold in memory."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

from imagesvc.uploads.errors import NoRoom


class MemoryBudget:
    """First come, first served. An upload takes its whole working set when it begins, so that none waits half-way."""

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
        """Holds ``wanted_bytes`` (at most the whole budget) inside the block.

        Raises NoRoom after the bounded wait, or at once when too many wait already.
        """
        amount = min(wanted_bytes, self._total)
        await self._take(amount)
        try:
            yield
        finally:
            self._free += amount
            self._serve()

    async def _take(self, amount: int) -> None:
        if not self._waiting and amount <= self._free:
            self._free -= amount
            return
        if len(self._waiting) >= self._max_waiting:
            raise NoRoom
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, turn))
        try:
            async with asyncio.timeout(self._wait_seconds):
                await asyncio.shield(turn)
        except BaseException as error:
            if turn.done():
                self._free += amount  # served and given up in the same moment
            else:
                self._waiting.remove((amount, turn))
            self._serve()
            if isinstance(error, TimeoutError):
                raise NoRoom from error
            raise

    def _serve(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            amount, turn = self._waiting.popleft()
            self._free -= amount
            turn.set_result(None)
