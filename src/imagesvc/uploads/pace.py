"""How slowly a file may come: against clients that hold a place without sending (slow loris), by will or by accident.

Only time spent waiting for the client counts against its speed. What is too slow is cut off, and nothing is kept.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Self

from imagesvc.settings import Settings
from imagesvc.uploads.errors import UploadStalled


class Pace:
    """The body of a request, one chunk after the other. Raises UploadStalled when it comes too slowly."""

    __slots__ = ("_arrived_bytes", "_began", "_idle_seconds", "_least", "_most_seconds", "_stream", "_waited_seconds")

    def __init__(self, settings: Settings, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._idle_seconds = settings.upload_idle_seconds
        self._least = settings.upload_min_bytes_per_second
        self._most_seconds = settings.upload_max_seconds
        self.next_file()

    def next_file(self) -> None:
        """A file begins: its time is its own."""
        self._began = time.monotonic()
        self._waited_seconds = 0.0
        self._arrived_bytes = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        asked = time.monotonic()
        credit = self._idle_seconds + self._arrived_bytes / self._least - self._waited_seconds
        left = min(credit, self._began + self._most_seconds - asked)
        if left <= 0:
            raise self._stalled()  # a timeout would let through what is there already
        try:
            async with asyncio.timeout(min(self._idle_seconds, left)):
                chunk = await anext(self._stream)
        except TimeoutError as error:
            raise self._stalled() from error
        self._waited_seconds += time.monotonic() - asked
        self._arrived_bytes += len(chunk)
        return chunk

    def _stalled(self) -> UploadStalled:
        return UploadStalled(
            f"A file may take {self._most_seconds:g} seconds, pause for {self._idle_seconds:g}, "
            f"and has to come at {self._least} bytes a second."
        )
