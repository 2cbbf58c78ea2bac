"""Whose turn it is: a newer request makes an older one store what it has, and waits a bounded time for that.

Only a courtesy: that the older one's writes count for nothing afterwards is the epoch's doing.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from uuid import UUID

import structlog

from imagesvc.db import Database
from imagesvc.errors import ImagesvcError
from imagesvc.uploads.tus import queries
from imagesvc.uploads.tus.request_stream import RequestStream

log = structlog.get_logger(__name__)

HANDOVER_SECONDS = 5.0
"""How long a newer request waits for an older one to store what it has: after a crash, for nobody."""
LOOK_AGAIN_SECONDS = 0.05
TICK_SECONDS = 0.25

Holder = tuple[UUID, UUID, UUID | None]
"""An upload, its owner, and the link that it came through: whoever does not name all three has no say in it."""


class Handover:
    """The requests of this process that receive: one query a tick for all of them, none while there is nobody."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._receiving: dict[tuple[Holder, int], RequestStream] = {}
        self._ticking: asyncio.Task[None] | None = None
        self._nobody = asyncio.Event()
        self._nobody.set()

    @contextlib.contextmanager
    def taken(self, holder: Holder, epoch: int, stream: RequestStream) -> Iterator[None]:
        """Inside the block the request hears when a newer one waits, whichever process that came to."""
        self._receiving[holder, epoch] = stream
        self._nobody.clear()
        if self._ticking is None or self._ticking.done():
            self._ticking = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            del self._receiving[holder, epoch]
            if not self._receiving:
                self._nobody.set()

    def ask_here(self, holder: Holder) -> None:
        """Ask the requests of this process at once; before waiting for memory, which they may be holding."""
        for (receiving, _), stream in self._receiving.items():
            if receiving == holder:
                stream.ask_to_stop()

    async def ask(self, holder: Holder) -> None:
        """Ask whoever receives, and wait until it has stored what it has, or the patience ends."""
        upload_id, give_up = holder[0], time.monotonic() + HANDOVER_SECONDS
        if await self._database.fetch_row(queries.ASK_FOR_TURN, upload_id) is not None:
            self.ask_here(holder)
        while time.monotonic() < give_up:
            row = await self._database.fetch_row(queries.TURN, upload_id)
            if row is None or row["turn"] == "free":
                return
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        log.info("a request did not give way", resumable_id=str(upload_id))

    async def settle(self) -> None:
        """Wait until no request of this process receives any more: before an orderly stop, which has cancelled them."""
        await self._nobody.wait()

    async def _tick(self) -> None:
        while self._receiving:
            await asyncio.sleep(TICK_SECONDS)
            asked = dict(self._receiving)
            if not asked:
                return
            try:
                ids, epochs = [holder[0] for holder, _ in asked], [epoch for _, epoch in asked]
                row = await self._database.fetch_row(queries.WHO_SHOULD_STOP, ids, epochs)
            except ImagesvcError as error:
                log.warning("turns are not known", problem=error.slug)
                continue
            should_stop = set(row["ids"] or ())
            for (holder, _), stream in asked.items():
                if holder[0] in should_stop:
                    stream.ask_to_stop()
