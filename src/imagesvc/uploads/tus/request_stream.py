"""The bytes of one request as they arrive, until they are all there, too many, or a newer request waits."""

import asyncio
from collections.abc import AsyncIterator

from imagesvc.uploads.tus.errors import TakenOver, TooManyBytes

LINGER_SECONDS = 0.25
"""How long a request that is asked to stop waits for more of what is already on its way."""
LINGER_MOST_SECONDS = 1.0
"""When it stops although bytes keep arriving."""


class RequestStream:
    """``chunks()`` can be read once. Raises TakenOver, TooManyBytes, and what the stream below raises."""

    def __init__(self, stream: AsyncIterator[bytes], *, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._loop = asyncio.get_running_loop()
        self._asked_at: float | None = None
        self._waiting: asyncio.Timeout | None = None

    def ask_to_stop(self) -> None:
        """A newer request waits: take what is on its way, no more."""
        if self._asked_at is not None:
            return
        self._asked_at = self._loop.time()
        if self._waiting is not None:
            self._waiting.reschedule(self._asked_at + LINGER_SECONDS)

    async def chunks(self) -> AsyncIterator[bytes]:
        left = self._max_bytes
        while (chunk := await self._next()) is not None:
            left -= len(chunk)
            if left < 0:
                raise TooManyBytes(
                    "The upload is shorter than what was sent: nothing after the last stored byte was kept."
                )
            if chunk:
                yield chunk

    async def _next(self) -> bytes | None:
        asked_at = self._asked_at
        if asked_at is not None and self._loop.time() - asked_at > LINGER_MOST_SECONDS:
            raise TakenOver
        try:
            async with asyncio.timeout(None if asked_at is None else LINGER_SECONDS) as self._waiting:
                return await anext(self._stream, None)
        except TimeoutError:
            raise TakenOver from None
        finally:
            self._waiting = None
