"""Time limits and minimum speed of one fetch, and concurrent requests per host: a slow host must not block a worker."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

from imagesvc.fetching.errors import FetchFailed
from imagesvc.settings import Settings

T = TypeVar("T")


class FetchTimer:
    """The time limits of one fetch. Only time spent waiting for the host counts, not the time to handle the bytes.

    Each step has a timeout as a whole. An idle timeout per read would not stop a host that sends a header or the
    framing of a chunk byte by byte.
    """

    def __init__(self, settings: Settings) -> None:
        self._open_seconds = settings.fetch_connect_seconds + settings.fetch_idle_seconds
        self._idle_seconds = settings.fetch_idle_seconds
        self._min_bytes_per_second = settings.fetch_min_bytes_per_second
        self._remaining_seconds = settings.fetch_max_seconds
        self._body_seconds = 0.0
        self._body_bytes = 0

    async def opening(self, step: Awaitable[T]) -> T:
        """Run the step up to the response head: name, connection, TLS, request. Raises FetchFailed."""
        return (await self._wait(step, max_seconds=self._open_seconds))[0]

    async def chunk(self, step: Awaitable[bytes]) -> bytes:
        """The next bytes of the body; empty at the end. Raises FetchFailed."""
        chunk, seconds = await self._wait(step, max_seconds=self._idle_seconds)
        self._body_seconds += seconds
        self._body_bytes += len(chunk)
        # the first ``fetch_idle_seconds`` do not count: a short stall of a small file is acceptable
        if self._body_bytes < (self._body_seconds - self._idle_seconds) * self._min_bytes_per_second:
            raise FetchFailed("too-slow", retryable=True)
        return chunk

    async def _wait(self, step: Awaitable[T], *, max_seconds: float) -> tuple[T, float]:
        started = time.monotonic()
        try:
            async with asyncio.timeout(min(max_seconds, self._remaining_seconds)):
                result = await step
        except TimeoutError as error:
            raise FetchFailed("timed-out", retryable=True) from error
        seconds = time.monotonic() - started
        self._remaining_seconds -= seconds
        return result, seconds


class HostLimiter:
    """Limits the concurrent requests of this process to one host."""

    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._users: defaultdict[str, int] = defaultdict(int)
        self._semaphores: dict[str, asyncio.Semaphore] = {}

    @contextlib.asynccontextmanager
    async def slot(self, host: str) -> AsyncIterator[None]:
        """Wait for a free slot of ``host`` and hold it. Hosts without users are forgotten."""
        semaphore = self._semaphores.setdefault(host, asyncio.Semaphore(self._per_host))
        self._users[host] += 1
        try:
            async with semaphore:
                yield
        finally:
            self._users[host] -= 1
            if not self._users[host]:
                del self._users[host], self._semaphores[host]
