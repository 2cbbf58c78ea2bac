"""How slowly a file may come: against clients that hold a place without sending (slow loris), by will or by accident.

Only time spent waiting for the client counts against its speed. What is too slow is cut off, and nothing is kept.
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
    """Nothing came for a while, or too little in all. Send it again; a resumable upload outlives a bad line."""

    status, slug, title = 408, "upload-stalled", "The upload came too slowly"


class TimedBody:
    """The body of a request, one chunk after the other. Raises UploadStalled when it comes too slowly.

    One timer serves a whole body: a chunk only moves the moment at which it has to look, since a timeout around each
    chunk would cost four times what the chunk costs.
    """

    __slots__ = (
        "_alarm",
        "_arrived_bytes",
        "_began",
        "_idle_seconds",
        "_is_cut",
        "_least",
        "_max_seconds",
        "_stream",
        "_until",
        "_waited_seconds",
        "_waits",
    )

    def __init__(self, settings: Settings, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._idle_seconds = settings.upload_idle_seconds
        self._least = settings.upload_min_bytes_per_second
        self._max_seconds = settings.upload_max_seconds
        self._alarm: asyncio.TimerHandle | None = None
        self._waits: asyncio.Task[object] | None = None
        self._until = 0.0
        self._is_cut = False
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
        left = min(credit, self._began + self._max_seconds - asked, self._idle_seconds)
        if left <= 0:
            raise self._stalled()  # an alarm would let through what is there already
        self._until = asked + left
        self._waits = task = asyncio.current_task()
        if self._alarm is None:  # it is never late: the moment that it has to look at only moves away
            self._set_alarm(left)
        try:
            chunk = await anext(self._stream)
        except BaseException as error:
            self._drop_alarm()
            if self._is_cut and isinstance(error, asyncio.CancelledError) and task is not None and not task.uncancel():
                raise self._stalled() from error
            raise
        finally:
            self._waits = None
        self._waited_seconds += time.monotonic() - asked
        self._arrived_bytes += len(chunk)
        return chunk

    def _set_alarm(self, seconds: float) -> None:
        self._alarm = asyncio.get_running_loop().call_later(seconds, self._look)

    def _drop_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _look(self) -> None:
        self._alarm = None
        if self._waits is None:
            return  # we are busy with what came, which is not the client's fault
        left = self._until - time.monotonic()
        if left > 0:
            self._set_alarm(left)
        else:
            self._is_cut = True
            self._waits.cancel()

    def _stalled(self) -> UploadStalled:
        return UploadStalled(
            f"A file may take {self._max_seconds:g} seconds, pause for {self._idle_seconds:g}, "
            f"and has to come at {self._least} bytes a second."
        )


def timed_body(request: Request) -> TimedBody:
    """The body, from a client that has to keep up."""
    return TimedBody(web_part(request, Settings), request.stream())


def declared_bytes(request: Request) -> int | None:
    """Content-Length; None for a chunked body. Raises Malformed."""
    value = request.headers.get("content-length")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()):
        raise Malformed("Content-Length is not a number.")
    return int(value)
