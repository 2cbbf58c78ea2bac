"""Minimum upload speed: cuts off stalled or slow clients, which would otherwise hold a slot (slow loris).

Only the time spent waiting for the client counts. Nothing of an upload that is cut off is kept.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Self

from starlette.requests import Request

from imagesvc.errors import ImagesvcError, Malformed
from imagesvc.http.web_parts import web_part
from imagesvc.settings import Settings


class UploadStalled(ImagesvcError):
    """No data arrived for a while, or too little overall. Send the file again, or use a resumable upload."""

    status, slug, title = 408, "upload-stalled", "The upload is too slow"


class TimedBody:
    """Iterates over the chunks of a request body. Raises UploadStalled if they arrive too slowly.

    One timer serves the whole body, and each chunk only moves its deadline. A timeout around each chunk would cost four
    times as much as the chunk itself.
    """

    __slots__ = (
        "_arrived_bytes",
        "_deadline",
        "_idle_seconds",
        "_is_cut",
        "_max_seconds",
        "_min_bytes_per_second",
        "_started_at",
        "_stream",
        "_timer",
        "_waited_seconds",
        "_waiting_task",
    )

    def __init__(self, settings: Settings, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._idle_seconds = settings.upload_idle_seconds
        self._min_bytes_per_second = settings.upload_min_bytes_per_second
        self._max_seconds = settings.upload_max_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._waiting_task: asyncio.Task[object] | None = None
        self._deadline = 0.0
        self._is_cut = False
        self.next_file()

    def next_file(self) -> None:
        """Reset the measurement for the next file of the body."""
        self._started_at = time.monotonic()
        self._waited_seconds = 0.0
        self._arrived_bytes = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        waiting_since = time.monotonic()
        credit = self._idle_seconds + self._arrived_bytes / self._min_bytes_per_second - self._waited_seconds
        left = min(credit, self._started_at + self._max_seconds - waiting_since, self._idle_seconds)
        if left <= 0:
            raise self._stalled()  # a timer would let through a chunk that has already arrived
        self._deadline = waiting_since + left
        self._waiting_task = task = asyncio.current_task()
        if self._timer is None:  # an existing timer is never too late, because deadlines only move forward
            self._start_timer(left)
        try:
            chunk = await anext(self._stream)
        except BaseException as error:
            self._stop_timer()
            if self._is_cut and isinstance(error, asyncio.CancelledError) and task is not None and not task.uncancel():
                raise self._stalled() from error
            raise
        finally:
            self._waiting_task = None
        self._waited_seconds += time.monotonic() - waiting_since
        self._arrived_bytes += len(chunk)
        return chunk

    def _start_timer(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._check_deadline)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_deadline(self) -> None:
        self._timer = None
        if self._waiting_task is None:
            return  # the service is processing a chunk, which does not count
        left = self._deadline - time.monotonic()
        if left > 0:
            self._start_timer(left)
        else:
            self._is_cut = True
            self._waiting_task.cancel()

    def _stalled(self) -> UploadStalled:
        return UploadStalled(
            f"A file may take at most {self._max_seconds:g} seconds and pause for at most {self._idle_seconds:g}, "
            f"and must arrive at {self._min_bytes_per_second} bytes per second on average."
        )


def timed_body(request: Request) -> TimedBody:
    """The body of a request, with the minimum speed of the settings."""
    return TimedBody(web_part(request, Settings), request.stream())


def declared_bytes(request: Request) -> int | None:
    """Content-Length; None for a chunked body. Raises Malformed."""
    value = request.headers.get("content-length")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()):
        raise Malformed("Content-Length is not a number.")
    return int(value)
