"""One file while it is received: counted, hashed, recognized and stored in one pass, in bounded memory."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from hashlib import sha256
from uuid import UUID

from imagesvc.db import Database
from imagesvc.errors import ImagesvcError
from imagesvc.links.errors import REFUSALS
from imagesvc.processing.sniff import SNIFF_BYTES, sniff
from imagesvc.settings import Settings
from imagesvc.storage.bucket import Storage, new_key
from imagesvc.storage.loose_objects import KeyReaped, hold_until
from imagesvc.uploads import queries
from imagesvc.uploads.errors import EmptyFile, FileTooLarge, NotAnImage
from imagesvc.uploads.queries import LinkReservation
from imagesvc.uploads.source import UploadSource

EXTEND_AFTER = 0.5
"""The fraction of a hold after which it is extended: early enough that a slow statement does not let it end."""
ACCEPTED_FORMATS = "JPEG, PNG, WebP, GIF, TIFF, BMP, HEIC/HEIF and AVIF are accepted, recognized by their content."


class StoredKeys:
    """Stores objects under keys that have a `held` row in ``loose_objects`` until a blob takes them."""

    def __init__(self, settings: Settings, database: Database, storage: Storage) -> None:
        self.settings, self.database, self.storage = settings, database, storage

    async def store_small(self, file: "IncomingFile", scope: UUID) -> str | None:
        """Store the file under a new held key. Returns None when a usable blob has the content already."""
        key, started = new_key("o"), time.monotonic()
        arguments = (file.sha256, scope, key, self.settings.hold_seconds)
        if await self.database.fetch_row(queries.HOLD_UNLESS_KNOWN, *arguments) is None:
            return None
        until = hold_until(self.settings, since=started)
        try:
            await self.storage.put(key, file.tail, media_type=file.media_type, until=until)
        except BaseException:
            await asyncio.shield(self.release(key))
            raise
        return key

    async def release(self, key: str) -> None:
        """Give a held key to the reaper at once. If that fails, the reaper finds the key when its hold ends."""
        with contextlib.suppress(ImagesvcError):
            await self.database.fetch_row(queries.RELEASE, key)


class LargeObject:
    """The object of a file larger than one part: an S3 multipart upload under a held row, extended while it arrives."""

    def __init__(self, keys: StoredKeys, *, media_type: str) -> None:
        self._keys = keys
        self._media_type = media_type
        self.key = new_key("o")
        self._upload_id = ""
        self._etags: list[tuple[int, str]] = []
        self._held_since = 0.0

    async def begin(self, source: UploadSource, *, declared_bytes: int | None, max_bytes: int) -> None:
        """Begin the S3 upload and hold the key.

        A link also reserves one file and its declared size, or ``max_bytes`` when no size is declared. Raises the
        link's refusals.
        """
        seconds = self._keys.settings.hold_seconds
        self._upload_id = await self._keys.storage.begin_multipart(self.key, media_type=self._media_type)
        self._held_since = time.monotonic()
        if source.link is None:
            await self._keys.database.fetch_row(queries.HOLD, self.key, seconds, self._upload_id)
            return
        reservation = LinkReservation(
            link=source.link.id,
            key=self.key,
            s3_upload_id=self._upload_id,
            bytes=max_bytes if declared_bytes is None else declared_bytes,
            is_exact=declared_bytes is not None,
            seconds=seconds,
        )
        refusal = (await queries.RESERVE_ON_LINK.run(self._keys.database, reservation)).refusal
        if refusal is not None:
            # No row was written and no part was stored: S3 loses nothing when this fails.
            with contextlib.suppress(ImagesvcError):
                await self._keys.storage.abort_multipart(self.key, self._upload_id)
            raise REFUSALS[refusal]

    async def put_part(self, body: bytearray) -> None:
        number = len(self._etags) + 1
        until = await self._extend()
        etag = await self._keys.storage.put_part(self.key, self._upload_id, number, body, until=until)
        self._etags.append((number, etag))

    async def complete(self, *, size: int) -> None:
        until = await self._extend()
        await self._keys.storage.complete_multipart(self.key, self._upload_id, self._etags, size=size, until=until)

    async def _extend(self) -> float:
        """Extend the hold when half of it has passed.

        Returns the ``time.monotonic()`` until which S3 requests may begin. Raises KeyReaped.
        """
        settings, now = self._keys.settings, time.monotonic()
        if now - self._held_since > settings.hold_seconds * EXTEND_AFTER:
            if await self._keys.database.fetch_row(queries.EXTEND_HOLD, self.key, settings.hold_seconds) is None:
                raise KeyReaped
            self._held_since = now
        return hold_until(settings, since=self._held_since)


class IncomingFile:
    """The received file. ``tail`` holds all of a small file, and nothing of a large file once it is complete."""

    def __init__(
        self, keys: StoredKeys, source: UploadSource, *, declared_bytes: int | None, max_bytes: int | None
    ) -> None:
        self._keys = keys
        self._source = source
        self._declared_bytes = declared_bytes
        self._max_bytes = min(source.max_file_bytes, max_bytes or source.max_file_bytes)
        self._digest = sha256()
        self.tail = bytearray()
        self.size = 0
        self.media_type = ""
        self.sha256 = b""
        self.large: LargeObject | None = None

    @property
    def key(self) -> str | None:
        """The held key of a large file; None for a small file, which is not stored yet."""
        return self.large.key if self.large else None

    async def receive(self, chunks: AsyncIterator[bytes]) -> None:
        """Read all chunks. Raises FileTooLarge, NotAnImage, EmptyFile, and the errors of storing a large file."""
        limit, part_bytes = self._source.max_file_bytes, self._keys.settings.part_bytes
        if self._declared_bytes is not None and self._declared_bytes > limit:
            raise too_large(limit)
        async for chunk in chunks:
            self.size += len(chunk)
            if self.size > limit:
                raise too_large(limit)
            self._digest.update(chunk)
            self.tail += chunk
            if not self.media_type and len(self.tail) >= SNIFF_BYTES:
                self._recognize()
            while len(self.tail) > part_bytes:
                await self._put_part(part_bytes)
        if not self.size:
            raise EmptyFile
        if not self.media_type:
            self._recognize()
        self.sha256 = self._digest.digest()
        if self.large is not None:
            await self._put_part(len(self.tail))
            await self.large.complete(size=self.size)

    def _recognize(self) -> None:
        media_type = sniff(bytes(self.tail[:SNIFF_BYTES]))
        if media_type is None:
            raise NotAnImage(ACCEPTED_FORMATS)
        self.media_type = media_type

    async def _put_part(self, size: int) -> None:
        if self.large is None:
            large = LargeObject(self._keys, media_type=self.media_type)
            await large.begin(self._source, declared_bytes=self._declared_bytes, max_bytes=self._max_bytes)
            self.large = large
        part, self.tail = self.tail[:size], self.tail[size:]
        await self.large.put_part(part)


def working_set_bytes(settings: Settings, declared_bytes: int | None) -> int:
    """The most memory that one file needs: the file or one part of it, and the copy that the S3 client sends."""
    buffered = settings.part_bytes if declared_bytes is None else min(declared_bytes, settings.part_bytes)
    return 2 * buffered


def too_large(limit: int) -> FileTooLarge:
    return FileTooLarge(f"A file may have at most {limit} bytes.", extra={"max_file_bytes": limit})
