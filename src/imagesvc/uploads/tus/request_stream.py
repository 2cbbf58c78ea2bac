"""The bytes of one request, until the body ends, exceeds the length of the upload, or a newer request waits."""

import asyncio
from collections.abc import AsyncIterator

from imagesvc.uploads.tus.errors import TakenOver, TooManyBytes

LINGER_SECONDS = 0.25
"""How long a request that is asked to stop waits for each further chunk, which may already be in transit."""
MAX_LINGER_SECONDS = 1.0
"""When it stops even if chunks keep arriving."""


class RequestStream:
    """``chunks()`` can be read once. It raises TakenOver, TooManyBytes, and the errors of the underlying stream."""

    def __init__(self, stream: AsyncIterator[bytes], *, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._loop = asyncio.get_running_loop()
        self._asked_at: float | None = None
        self._timeout: asyncio.Timeout | None = None

    def ask_to_stop(self) -> None:
        """Called when a newer request waits. Chunks in transit are still read, then ``chunks`` raises TakenOver."""
        if self._asked_at is not None:
            return
        self._asked_at = self._loop.time()
        if self._timeout is not None:
            self._timeout.reschedule(self._asked_at + LINGER_SECONDS)

    async def chunks(self) -> AsyncIterator[bytes]:
        left = self._max_bytes
        while (chunk := await self._next()) is not None:
            left -= len(chunk)
            if left < 0:
                raise TooManyBytes(
                    "The request has more bytes than the upload lacks. None after the last stored byte was kept."
                )
            if chunk:
                yield chunk

    async def _next(self) -> bytes | None:
        asked_at = self._asked_at
        if asked_at is not None and self._loop.time() - asked_at > MAX_LINGER_SECONDS:
            raise TakenOver
        try:
            async with asyncio.timeout(None if asked_at is None else LINGER_SECONDS) as self._timeout:
                return await anext(self._stream, None)
        except TimeoutError:
            raise TakenOver from None
        finally:
            self._timeout = None
