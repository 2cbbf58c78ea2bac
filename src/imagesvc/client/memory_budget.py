"""Bytes of files that may be in memory at a time."""

import asyncio


class Budget:
    def __init__(self, total_bytes: int) -> None:
        self._total_bytes = self._free_bytes = total_bytes
        self._given_back = asyncio.Event()

    async def take(self, count: int) -> int:
        """Waits for room. Returns what is to be given back: never more than there is in all."""
        count = min(count, self._total_bytes)
        while self._free_bytes < count:
            self._given_back.clear()
            await self._given_back.wait()
        self._free_bytes -= count
        return count

    def give_back(self, count: int) -> None:
        self._free_bytes += count
        self._given_back.set()
