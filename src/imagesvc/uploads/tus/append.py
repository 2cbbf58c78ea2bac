"""One PATCH: the tail that it begins with, the parts that it stores, the tail that it leaves, all under one epoch.

Memory: one part, and its copy on the way out. With a checksum, parts are stored as they fill but counted only once all
bytes are verified; without one, each counts at once, and so does whatever arrived before a cut.
"""

import asyncio
import dataclasses
import time
from typing import Any
from uuid import UUID

import asyncpg

from imagesvc.db import Database, new_id
from imagesvc.errors import ImagesvcError
from imagesvc.http.slow_clients import UploadStalled
from imagesvc.processing.sniff import SNIFF_BYTES, sniff
from imagesvc.settings import Settings
from imagesvc.storage.bucket import ObjectGone, Storage, new_key
from imagesvc.storage.loose_objects import KeyReaped, hold_until
from imagesvc.uploads import queries as admission_queries
from imagesvc.uploads.errors import NotAnImage
from imagesvc.uploads.tus import queries
from imagesvc.uploads.tus.abort import AbortUpload
from imagesvc.uploads.tus.checksum import Checksum
from imagesvc.uploads.tus.errors import ClientGone, TakenOver, WornOut
from imagesvc.uploads.tus.request_stream import RequestStream
from imagesvc.uploads.tus.shielded import ShieldedWork

MIN_PART_BYTES = 5 * 1024 * 1024
"""S3 takes no smaller part but for the last."""
MAX_PART_NUMBER = 10_000
SPARE_PART_NUMBERS = 200
"""Beyond four times what the length needs: what foiled attempts may use up, and leave in the bucket until the end."""
BEGINS_WITHIN_SECONDS = 8.0
"""How long after its statement an S3 write may begin; keys that are let go rest longer (``ending.MARGIN_SECONDS``)."""
UNKNOWN_TYPE = "application/octet-stream"
KEPT_AFTER = (ClientGone, UploadStalled, TakenOver, asyncio.CancelledError)
"""What may end a request whose bytes count all the same."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AppendTools:
    """What all requests of a process receive with."""

    settings: Settings
    database: Database
    storage: Storage
    ending: AbortUpload
    shielded: ShieldedWork


class Append:
    """The work of one request whose turn it is; ``upload`` is the row that taking the turn returned.

    Raises TakenOver wherever the turn turns out to be lost.
    """

    def __init__(self, tools: AppendTools, upload: Any, checksum: Checksum | None) -> None:
        self._tools = tools
        self._checksum = checksum
        self._id: UUID = upload["id"]
        self._epoch: int = upload["epoch"]
        self._length: int = upload["length"]
        self._media_type: str | None = upload["media_type"]
        self._key: str | None = upload["key"]
        self._s3_upload_id: str | None = upload["s3_upload_id"]
        self._old_tail: tuple[str | None, int] = (upload["tail_key"], upload["tail_bytes"])
        self._has_parts: bool = upload["parts_count"] > 0
        self._is_at_start: bool = upload["parts_bytes"] == 0
        self._counted: int = upload["upload_offset"]
        self._offset = self._counted
        """Of what has arrived."""
        self._arrived = False
        self._uncounted_parts: list[tuple[int, str, int]] = []
        self._buffer = bytearray()
        """What comes after the parts; the old tail first."""
        self._head = b""

    async def take(self, stream: RequestStream) -> Any:
        """Take what comes and count it; returns the row's state, offset and time to live, None when nothing came.

        Raises what ended it early. What had arrived counts then all the same, unless it was to be verified.
        """
        try:
            await self._load_tail()
            async for chunk in stream.chunks():
                await self._add(chunk)
            if self._checksum is not None:
                self._checksum.verify()
                await self._judge()
            return await self._count_rest()
        except BaseException as error:
            is_kept = self._checksum is None and isinstance(error, KEPT_AFTER)
            await self._tools.shielded.do(self._leave(is_kept=is_kept))
            raise

    async def _load_tail(self) -> None:
        key, size = self._old_tail
        if key is None:
            return
        try:
            async for chunk in self._tools.storage.read(key):
                self._buffer += chunk
        except ObjectGone as error:
            raise TakenOver from error  # a newer request has put another in its place
        if len(self._buffer) != size:
            raise ObjectGone("The stored tail has another size.")

    async def _add(self, chunk: bytes) -> None:
        self._arrived = True
        self._offset += len(chunk)
        self._buffer += chunk
        if self._is_at_start and len(self._head) < SNIFF_BYTES:
            self._head = bytes(self._buffer[:SNIFF_BYTES])
        if self._checksum is None:
            await self._judge()
        else:
            self._checksum.update(chunk)
        part_bytes = self._tools.settings.part_bytes
        while len(self._buffer) > part_bytes:
            await self._put_part(part_bytes)
            if self._checksum is None:
                await self._count(is_last=False)

    async def _judge(self) -> None:
        """By the first bytes of the file, once they are there. Ends the upload when they begin no image."""
        if self._media_type is None and (len(self._head) == SNIFF_BYTES or self._offset == self._length):
            self._media_type = sniff(self._head)
            if self._media_type is None:
                raise await self._end(
                    NotAnImage("Accepted are JPEG, PNG, WebP, GIF, TIFF, BMP, HEIC/HEIF and AVIF, judged by content.")
                )

    async def _end(self, error: ImagesvcError) -> ImagesvcError:
        is_ended = await self._tools.ending.refuse(self._id, error, epoch=self._epoch)
        return error if is_ended else TakenOver()

    async def _leave(self, *, is_kept: bool) -> None:
        try:
            if is_kept:
                await self._count_rest()
        finally:
            await self._tools.database.fetch_row(queries.GIVE_TURN_BACK, self._id, self._epoch)

    # ---- parts, the new tail, and the row that counts them

    async def _count_rest(self) -> Any:
        """Store the buffer, as a part where S3 takes one, and count everything."""
        if not self._arrived:
            await self._tools.database.fetch_row(queries.GIVE_TURN_BACK, self._id, self._epoch)
            return None
        if self._offset == self._length:
            # without any part, the tail is the whole file, and an object already
            is_part = self._has_parts or bool(self._uncounted_parts)
        else:
            is_part = len(self._buffer) >= MIN_PART_BYTES
        if self._buffer and not is_part:
            return await self._count_tail()
        if self._buffer:
            await self._put_part(len(self._buffer))
        return await self._count(is_last=True)

    async def _put_part(self, size: int) -> None:
        storage, is_first = self._tools.storage, self._s3_upload_id is None
        if self._key is None or self._s3_upload_id is None:
            self._key = new_key("o")
            self._s3_upload_id = await storage.begin_multipart(self._key, media_type=self._media_type or UNKNOWN_TYPE)
        until = time.monotonic() + BEGINS_WITHIN_SECONDS
        arguments = (self._id, self._epoch, self._key, self._s3_upload_id)
        row = await self._tools.database.fetch_row(queries.NEXT_PART, *arguments)
        if row is None:
            if is_first:  # no row names it; it holds no part
                await storage.abort_multipart(self._key, self._s3_upload_id)
            raise TakenOver
        number = row["number"]
        if number > min(MAX_PART_NUMBER, 4 * (self._length // MIN_PART_BYTES) + SPARE_PART_NUMBERS):
            raise await self._end(WornOut())
        # what is left is small: memory has room for the part and the S3 client's copy, no third one
        part, rest = self._buffer, self._buffer[size:]
        del part[size:]
        try:
            etag = await storage.put_part(self._key, self._s3_upload_id, number, part, until=until)
        except BaseException:
            self._buffer = part + rest
            raise
        self._buffer = rest
        self._uncounted_parts.append((number, etag, size))

    async def _count_tail(self) -> Any:
        settings, database = self._tools.settings, self._tools.database
        key, begun = new_key("t"), time.monotonic()
        arguments = (self._id, self._epoch, key, settings.hold_seconds)
        if await database.fetch_row(queries.HOLD_TAIL, *arguments) is None:
            raise TakenOver
        try:
            until, media_type = hold_until(settings, since=begun), self._media_type or UNKNOWN_TYPE
            await self._tools.storage.put(key, self._buffer, media_type=media_type, until=until)
            return await self._count(is_last=True, tail_key=key)
        except BaseException:
            await self._tools.shielded.do(database.fetch_row(admission_queries.RELEASE, key))
            raise

    async def _count(self, *, is_last: bool, tail_key: str | None = None) -> Any:
        settings = self._tools.settings
        try:
            row = await self._tools.database.fetch_row(
                queries.SAVE,
                *(self._id, self._epoch, self._counted, self._uncounted_parts),
                *(tail_key, len(self._buffer) if tail_key else 0, self._media_type, is_last),
                *(new_id(), settings.resumable_idle_seconds, settings.resumable_max_seconds),
            )
        except asyncpg.PostgresError as error:
            if error.sqlstate == admission_queries.KEY_WAS_REAPED:
                raise KeyReaped from error
            raise
        if row["state"] is None:
            raise TakenOver
        self._counted = row["upload_offset"]
        self._has_parts = self._has_parts or bool(self._uncounted_parts)
        self._is_at_start = False
        self._uncounted_parts = []
        return row
