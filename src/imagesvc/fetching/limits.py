"""How long, how slowly and how many at a time: against hosts that hold a worker without sending."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

from imagesvc.fetching.errors import FetchFailed
from imagesvc.settings import Settings

T = TypeVar("T")


class Pace:
    """The clock of one fetch. Only time spent waiting for the host counts, not what we do with the bytes.

    A timeout stands around each step: a host that drips a header or the frame of a chunk byte by byte never ends one.
    """

    def __init__(self, settings: Settings) -> None:
        self._open_seconds = settings.fetch_connect_seconds + settings.fetch_idle_seconds
        self._idle_seconds = settings.fetch_idle_seconds
        self._least = settings.fetch_min_bytes_per_second
        self._left = settings.fetch_max_seconds
        self._body_seconds = 0.0
        self._body_bytes = 0

    async def opening(self, step: Awaitable[T]) -> T:
        """Name, connection, TLS, request and the head of the answer. Raises FetchFailed."""
        return (await self._wait(step, at_most=self._open_seconds))[0]

    async def chunk(self, step: Awaitable[bytes]) -> bytes:
        """The next bytes of the body; empty at its end. Raises FetchFailed."""
        chunk, seconds = await self._wait(step, at_most=self._idle_seconds)
        self._body_seconds += seconds
        self._body_bytes += len(chunk)
        # the first idle seconds are free, so that a short stall of a small file is none
        if self._body_bytes < (self._body_seconds - self._idle_seconds) * self._least:
            raise FetchFailed("too-slow", retryable=True)
        return chunk

    async def _wait(self, step: Awaitable[T], *, at_most: float) -> tuple[T, float]:
        began = time.monotonic()
        try:
            async with asyncio.timeout(min(at_most, self._left)):
                result = await step
        except TimeoutError as error:
            raise FetchFailed("timed-out", retryable=True) from error
        seconds = time.monotonic() - began
        self._left -= seconds
        return result, seconds


class Places:
    """At most so many requests to one host at a time, from this process."""

    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._taken: defaultdict[str, int] = defaultdict(int)
        self._places: dict[str, asyncio.Semaphore] = {}

    @contextlib.asynccontextmanager
    async def at(self, host: str) -> AsyncIterator[None]:
        places = self._places.setdefault(host, asyncio.Semaphore(self._per_host))
        self._taken[host] += 1
        try:
            async with places:
                yield
        finally:
            self._taken[host] -= 1
            if not self._taken[host]:
                del self._taken[host], self._places[host]
