"""Receives the bytes of one PATCH: the tail that it starts with, the parts that it stores, the tail that it leaves.

A request that brings the whole file hashes it on the way, so that nothing is read again to admit it.

All statements name the epoch of the request. Memory: one part, and the copy that the S3 client sends. Without a
checksum each stored part counts at once, and so do the bytes that arrived before the connection broke. With a
checksum, parts are stored as they fill up and count only when all bytes are verified.
"""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator
from hashlib import sha256
from uuid import UUID

from imagesvc.db import Database, new_id
from imagesvc.errors import ImagesvcError
from imagesvc.http.slow_clients import UploadStalled
from imagesvc.processing.sniff import SNIFF_BYTES, sniff
from imagesvc.settings import Settings
from imagesvc.storage.bucket import ObjectGone, Storage, new_key
from imagesvc.storage.loose_objects import hold_until, raising_key_reaped
from imagesvc.uploads import queries as admission_queries
from imagesvc.uploads.errors import NotAnImage
from imagesvc.uploads.incoming_file import ACCEPTED_FORMATS
from imagesvc.uploads.tus import queries
from imagesvc.uploads.tus.abort import BEGINS_WITHIN_SECONDS, AbortUpload
from imagesvc.uploads.tus.checksum import Checksum
from imagesvc.uploads.tus.errors import ClientGone, TakenOver, WornOut
from imagesvc.uploads.tus.finish import Content, FinishUpload
from imagesvc.uploads.tus.queries import PartNumberRow, ResumableRow, SavedRow, SaveResumable, StoredPart
from imagesvc.uploads.tus.request_stream import RequestStream
from imagesvc.uploads.tus.shielded import ShieldedWork

MIN_PART_BYTES = 5 * 1024 * 1024
"""S3 accepts a smaller part only as the last one."""
MAX_PART_NUMBER = 10_000
SPARE_PART_NUMBERS = 200
"""Part numbers beyond four times the needed ones, for failed attempts, whose parts stay until the upload ends."""
UNKNOWN_TYPE = "application/octet-stream"
SAVED_AFTER = (ClientGone, UploadStalled, TakenOver, asyncio.CancelledError)
"""Errors after which the received bytes still count."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AppendTools:
    """What all requests of a process share."""

    settings: Settings
    database: Database
    storage: Storage
    ending: AbortUpload
    shielded: ShieldedWork
    finish: FinishUpload


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PatchBody:
    """The body of a request. ``declared_bytes`` is Content-Length, None for a chunked body."""

    stream: AsyncIterator[bytes]
    declared_bytes: int | None
    checksum: Checksum | None


class Append:
    """The work of one request; ``upload`` is the row that TAKE_TURN returned.

    Every method raises TakenOver when a newer request has the upload.
    """

    def __init__(self, tools: AppendTools, upload: ResumableRow, checksum: Checksum | None, *, owner_id: UUID) -> None:
        self._tools = tools
        self._owner_id = owner_id
        self._upload = upload
        self._checksum = checksum
        self._media_type = upload.media_type
        self._key = upload.key
        self._s3_upload_id = upload.s3_upload_id
        self._has_parts = upload.parts_count > 0
        self._is_at_start = upload.parts_bytes == 0
        self._saved_offset = upload.upload_offset
        self._received_offset = upload.upload_offset
        self._unsaved_parts: list[StoredPart] = []
        self._buffer = bytearray()
        """The bytes after the parts. They start with the old tail."""
        self._head = b""
        self._digest = sha256() if upload.upload_offset == 0 else None
        """Of the whole file; None when an earlier request brought some of it."""

    async def take(self, stream: RequestStream) -> SavedRow | None:
        """Store and count the bytes of the stream. Returns the progress, None when no bytes arrived.

        The progress is a CompletedRow when the upload has ended. Raises the error that ended the stream early. The
        received bytes then still count, unless they have a checksum.
        """
        try:
            await self._load_tail()
            async for chunk in stream.chunks():
                await self._add(chunk)
            if self._checksum is not None:
                self._checksum.verify()
                await self._recognize()
            return await self._save_rest()
        except BaseException as error:
            is_saved = self._checksum is None and isinstance(error, SAVED_AFTER)
            await self._tools.shielded.do(self._leave(is_saved=is_saved))
            raise

    async def _load_tail(self) -> None:
        key = self._upload.tail_key
        if key is None:
            return
        try:
            async for chunk in self._tools.storage.read(key):
                self._buffer += chunk
        except ObjectGone as error:
            raise TakenOver from error  # a newer request has replaced the tail
        if len(self._buffer) != self._upload.tail_bytes:
            raise ObjectGone("The stored tail has another size.")

    async def _add(self, chunk: bytes) -> None:
        self._received_offset += len(chunk)
        self._buffer += chunk
        if self._digest is not None:
            self._digest.update(chunk)
        if self._is_at_start and len(self._head) < SNIFF_BYTES:
            self._head = bytes(self._buffer[:SNIFF_BYTES])
        if self._checksum is None:
            await self._recognize()
        else:
            self._checksum.update(chunk)
        part_bytes = self._tools.settings.part_bytes
        while len(self._buffer) > part_bytes:
            await self._put_part(part_bytes)
            if self._checksum is None:
                await self._save(is_last=False)

    async def _recognize(self) -> None:
        """Determine the media type from the first bytes of the file. Ends the upload when they are not an image."""
        has_head = len(self._head) == SNIFF_BYTES or self._received_offset == self._upload.length
        if self._media_type is None and has_head:
            self._media_type = sniff(self._head)
            if self._media_type is None:
                raise await self._end(NotAnImage(ACCEPTED_FORMATS))

    async def _end(self, error: ImagesvcError) -> ImagesvcError:
        is_ended = await self._tools.ending.refuse(self._upload.id, error, epoch=self._upload.epoch)
        return error if is_ended else TakenOver()

    async def _leave(self, *, is_saved: bool) -> None:
        try:
            if is_saved:
                await self._save_rest()
        finally:
            await self._free_turn()

    async def _free_turn(self) -> None:
        await self._tools.database.fetch_row(queries.FREE_TURN, self._upload.id, self._upload.epoch)

    # ---- parts, the new tail, and the row that counts them

    async def _save_rest(self) -> SavedRow | None:
        """Store the buffer, as a part where S3 accepts one, and count everything."""
        if self._received_offset == self._upload.upload_offset:
            await self._free_turn()
            return None
        if self._received_offset == self._upload.length:
            # Without any part, the tail is the whole file, and already an object.
            is_part = self._has_parts or bool(self._unsaved_parts)
        else:
            is_part = len(self._buffer) >= MIN_PART_BYTES
        if self._buffer and not is_part:
            return await self._save_tail()
        if self._buffer:
            await self._put_part(len(self._buffer))
        if content := self._whole_content():
            self._tools.finish.remember(self._upload.id, content)
        return await self._save(is_last=True)

    def _whole_content(self) -> Content | None:
        """What the request brought, when that is the whole file."""
        if self._digest is None or self._received_offset != self._upload.length:
            return None
        return Content(sha256=self._digest.digest(), size=self._received_offset, head=self._head)

    async def _put_part(self, size: int) -> None:
        storage, is_first = self._tools.storage, self._s3_upload_id is None
        if self._key is None or self._s3_upload_id is None:
            self._key = new_key("o")
            self._s3_upload_id = await storage.begin_multipart(self._key, media_type=self._media_type or UNKNOWN_TYPE)
        until = time.monotonic() + BEGINS_WITHIN_SECONDS
        row = await self._tools.database.fetch_one_or_none(
            queries.NEXT_PART, PartNumberRow, self._upload.id, self._upload.epoch, self._key, self._s3_upload_id
        )
        if row is None:
            if is_first:  # no row names the multipart upload, which holds no part
                await storage.abort_multipart(self._key, self._s3_upload_id)
            raise TakenOver
        if row.number > min(MAX_PART_NUMBER, 4 * (self._upload.length // MIN_PART_BYTES) + SPARE_PART_NUMBERS):
            raise await self._end(WornOut())
        # The rest is small. Memory has room for the part and the copy of the S3 client, not for a third copy.
        part, rest = self._buffer, self._buffer[size:]
        del part[size:]
        try:
            etag = await storage.put_part(self._key, self._s3_upload_id, row.number, part, until=until)
        except BaseException:
            self._buffer = part + rest
            raise
        self._buffer = rest
        self._unsaved_parts.append(StoredPart(number=row.number, etag=etag, bytes=size))

    async def _save_tail(self) -> SavedRow:
        settings, database = self._tools.settings, self._tools.database
        key, started = new_key("t"), time.monotonic()
        arguments = (self._upload.id, self._upload.epoch, key, settings.hold_seconds)
        if await database.fetch_row(queries.HOLD_TAIL, *arguments) is None:
            raise TakenOver
        try:
            until, media_type = hold_until(settings, since=started), self._media_type or UNKNOWN_TYPE
            await self._tools.storage.put(key, self._buffer, media_type=media_type, until=until)
            if content := self._whole_content():
                return await self._tools.finish.complete(self._upload, content, key, owner_id=self._owner_id)
            return await self._save(is_last=True, tail_key=key)
        except BaseException:
            await self._tools.shielded.do(database.fetch_row(admission_queries.RELEASE, key))
            raise

    async def _save(self, *, is_last: bool, tail_key: str | None = None) -> SavedRow:
        settings = self._tools.settings
        progress = SaveResumable(
            id=self._upload.id,
            epoch=self._upload.epoch,
            from_=self._saved_offset,
            parts=self._unsaved_parts,
            tail_key=tail_key,
            tail_bytes=len(self._buffer) if tail_key else 0,
            media_type=self._media_type,
            is_last=is_last,
            task=new_id(),
            idle_seconds=settings.resumable_idle_seconds,
            max_seconds=settings.resumable_max_seconds,
        )
        with raising_key_reaped():
            row = await queries.SAVE.run(self._tools.database, progress)
        if row.state is None:
            raise TakenOver
        self._saved_offset = row.upload_offset
        self._has_parts = self._has_parts or bool(self._unsaved_parts)
        self._is_at_start = False
        self._unsaved_parts = []
        return row
