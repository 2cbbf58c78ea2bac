"""Lets a newer request take an upload over: it asks the older one to store its bytes, and waits a bounded time.

This only saves bytes. Correctness rests on the epoch: writes of the older request no longer count afterwards.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator

import structlog

from imagesvc.db import Database
from imagesvc.errors import ImagesvcError
from imagesvc.uploads.tus import queries
from imagesvc.uploads.tus.queries import UploadIdRow, UploadRef
from imagesvc.uploads.tus.request_stream import RequestStream

log = structlog.get_logger(__name__)

HANDOVER_SECONDS = 5.0
"""How long a newer request waits for an older one. After a crash of the older one's process, it waits in vain."""
POLL_SECONDS = 0.05
"""How often a newer request looks whether the older one has ended."""
TICK_SECONDS = 0.25
"""How often the requests of a process look whether a newer request waits."""


class Handover:
    """The receiving requests of this process. One query per tick covers all of them; it does not run without any."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._receiving: dict[tuple[UploadRef, int], RequestStream] = {}
        self._ticking: asyncio.Task[None] | None = None
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    @contextlib.contextmanager
    def receiving(self, ref: UploadRef, epoch: int, stream: RequestStream) -> Iterator[None]:
        """Inside the block, the stream is asked to stop when a newer request waits in any process."""
        self._receiving[ref, epoch] = stream
        self._is_idle.clear()
        if self._ticking is None or self._ticking.done():
            self._ticking = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            del self._receiving[ref, epoch]
            if not self._receiving:
                self._is_idle.set()

    def stop_local(self, ref: UploadRef) -> None:
        """Ask the requests of this process at once. Call this before waiting for memory, which they may hold."""
        for (receiving, _), stream in self._receiving.items():
            if receiving == ref:
                stream.ask_to_stop()

    async def wait_for_turn(self, ref: UploadRef) -> None:
        """Ask the receiving request to stop, and wait until it has stored its bytes, or for HANDOVER_SECONDS."""
        deadline = time.monotonic() + HANDOVER_SECONDS
        if await self._database.fetch_row(queries.REQUEST_TURN, ref.upload_id) is not None:
            self.stop_local(ref)
        while time.monotonic() < deadline:
            if await self._database.fetch_row(queries.OCCUPIED_TURN, ref.upload_id) is None:
                return
            await asyncio.sleep(POLL_SECONDS)
        log.info("handover timed out", resumable_id=str(ref.upload_id))

    async def settle(self) -> None:
        """Wait until no request of this process receives: for an orderly stop, which has cancelled the requests."""
        await self._is_idle.wait()

    async def _tick(self) -> None:
        while self._receiving:
            await asyncio.sleep(TICK_SECONDS)
            streams = dict(self._receiving)
            if not streams:
                return
            ids, epochs = [ref.upload_id for ref, _ in streams], [epoch for _, epoch in streams]
            try:
                rows = await self._database.fetch_all(queries.TO_STOP, UploadIdRow, ids, epochs)
            except ImagesvcError as error:
                log.warning("handover check failed", problem=error.slug)
                continue
            to_stop = {row.id for row in rows}
            for (ref, _), stream in streams.items():
                if ref.upload_id in to_stop:
                    stream.ask_to_stop()
