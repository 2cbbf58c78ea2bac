"""The bytes of one file on their way in: counted, hashed and judged in one pass, in bounded memory."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from hashlib import sha256

import structlog

from imagesvc.db import Database
from imagesvc.errors import ImagesvcError
from imagesvc.links.errors import REFUSALS
from imagesvc.processing.sniff import SNIFF_BYTES, sniff
from imagesvc.settings import Settings
from imagesvc.storage.bucket import Storage, new_key
from imagesvc.storage.loose_objects import KeyReaped, hold_until
from imagesvc.uploads import queries
from imagesvc.uploads.errors import EmptyFile, FileTooLarge, NotAnImage
from imagesvc.uploads.source import UploadSource

log = structlog.get_logger(__name__)

PUSH_AFTER = 0.5
"""The part of a hold after which it is pushed forward: early enough that a slow push does not end it."""


class StoredKeys:
    """The keys of one process's uploads: held rows, and the objects under them."""

    def __init__(self, settings: Settings, database: Database, storage: Storage) -> None:
        self.settings, self.database, self.storage = settings, database, storage

    async def hold_small(self, body: "IncomingFile", scope: object) -> str | None:
        """A new key with the body under it; None when the content is known and usable: nothing needs to be stored."""
        key, begun = new_key("o"), time.monotonic()
        arguments = (body.sha256, scope, key, self.settings.hold_seconds)
        if await self.database.fetch_row(queries.HOLD_UNLESS_KNOWN, *arguments) is None:
            return None
        until = hold_until(self.settings, since=begun)
        try:
            await self.storage.put(key, body.tail, media_type=body.media_type, until=until)
        except BaseException:
            await asyncio.shield(self.release(key))
            raise
        return key

    async def release(self, key: str) -> None:
        """Give a key up at once; when that fails, the reaper finds it by itself later."""
        with contextlib.suppress(ImagesvcError):
            await self.database.fetch_row(queries.RELEASE, key)


class LargeObject:
    """A file above one part: an S3 multipart upload under a held row that is pushed forward while it arrives."""

    def __init__(self, keys: StoredKeys, *, media_type: str) -> None:
        self._keys = keys
        self._media_type = media_type
        self.key = new_key("o")
        self._upload_id = ""
        self._etags: list[tuple[int, str]] = []
        self._held_since = 0.0

    async def begin(self, source: UploadSource, *, declared_bytes: int | None, max_bytes: int) -> None:
        """Holds the key; through a link, reserves the file and its bytes: what was declared, else the most that it can
        have. Raises what a link refuses with."""
        seconds = self._keys.settings.hold_seconds
        self._upload_id = await self._keys.storage.begin_multipart(self.key, media_type=self._media_type)
        self._held_since = time.monotonic()
        fetch = self._keys.database.fetch_row
        if source.link is None:
            await fetch(queries.HOLD, self.key, seconds, self._upload_id)
            return
        size, is_exact = (max_bytes, False) if declared_bytes is None else (declared_bytes, True)
        arguments = (source.link.id, self.key, self._upload_id, size, is_exact, seconds)
        row = await fetch(queries.RESERVE_ON_LINK, *arguments)
        if row["outcome"] is not None:
            # no row was written and no part was put: the abort only tidies up
            with contextlib.suppress(ImagesvcError):
                await self._keys.storage.abort_multipart(self.key, self._upload_id)
            raise REFUSALS[row["outcome"]]

    async def put_part(self, body: bytearray) -> None:
        number = len(self._etags) + 1
        until = await self._push()
        etag = await self._keys.storage.put_part(self.key, self._upload_id, number, body, until=until)
        self._etags.append((number, etag))

    async def complete(self, *, size: int) -> None:
        until = await self._push()
        await self._keys.storage.complete_multipart(self.key, self._upload_id, self._etags, size=size, until=until)

    async def _push(self) -> float:
        """Until when requests may begin; pushes the row forward when half of that is over. Raises KeyReaped."""
        settings, now = self._keys.settings, time.monotonic()
        if now - self._held_since > settings.hold_seconds * PUSH_AFTER:
            if await self._keys.database.fetch_row(queries.PUSH_HOLD, self.key, settings.hold_seconds) is None:
                raise KeyReaped
            self._held_since = now
        return hold_until(settings, since=self._held_since)


class IncomingFile:
    """What arrived: ``tail`` holds all of a small file, and nothing of a large one once it is complete."""

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
        """The key that a large file already has."""
        return self.large.key if self.large else None

    async def receive(self, chunks: AsyncIterator[bytes]) -> None:
        """Take all of it. Raises FileTooLarge, NotAnImage, EmptyFile, and what storing a large file raises."""
        most, part_bytes = self._source.max_file_bytes, self._keys.settings.part_bytes
        if self._declared_bytes is not None and self._declared_bytes > most:
            raise too_large(most)
        async for chunk in chunks:
            self.size += len(chunk)
            if self.size > most:
                raise too_large(most)
            self._digest.update(chunk)
            self.tail += chunk
            if not self.media_type and len(self.tail) >= SNIFF_BYTES:
                self._judge()
            while len(self.tail) > part_bytes:
                await self._put_part(part_bytes)
        if not self.size:
            raise EmptyFile
        if not self.media_type:
            self._judge()
        self.sha256 = self._digest.digest()
        if self.large is not None:
            await self._put_part(len(self.tail))
            await self.large.complete(size=self.size)

    def _judge(self) -> None:
        found = sniff(bytes(self.tail[:SNIFF_BYTES]))
        if found is None:
            raise NotAnImage("Accepted are JPEG, PNG, WebP, GIF, TIFF, BMP, HEIC/HEIF and AVIF, judged by content.")
        self.media_type = found

    async def _put_part(self, size: int) -> None:
        if self.large is None:
            large = LargeObject(self._keys, media_type=self.media_type)
            await large.begin(self._source, declared_bytes=self._declared_bytes, max_bytes=self._max_bytes)
            self.large = large
        part, self.tail = self.tail[:size], self.tail[size:]
        await self.large.put_part(part)


def working_set_bytes(settings: Settings, declared_bytes: int | None) -> int:
    """What one file holds in memory at the most: itself, or a part of it, and the S3 client's copy on the way out."""
    small = settings.part_bytes if declared_bytes is None else min(declared_bytes, settings.part_bytes)
    return 2 * small


def too_large(most: int) -> FileTooLarge:
    return FileTooLarge(f"At most {most} bytes are taken.", extra={"max_file_bytes": most})
