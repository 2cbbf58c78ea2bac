"""Limits the bytes of files that are in memory at the same time."""

import asyncio


class MemoryBudget:
    def __init__(self, total_bytes: int) -> None:
        self._total_bytes = self._free_bytes = total_bytes
        self._released = asyncio.Event()

    async def acquire(self, count: int) -> int:
        """Wait until ``count`` bytes are free and take them. Returns what to release.

        A request for more than the total takes the total, so that a single large file cannot wait for ever.
        """
        count = min(count, self._total_bytes)
        while self._free_bytes < count:
            self._released.clear()
            await self._released.wait()
        self._free_bytes -= count
        return count

    def release(self, count: int) -> None:
        self._free_bytes += count
        self._released.set()
