"""Admit one file: where all ways in end.

Stream, hash and judge (``body``) -> store under a held key -> one database function that locks link and blob, inserts
image, upload and task, and takes the key over. Whatever fails leaves a loose row at the most, never half an image.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal
from uuid import UUID

import asyncpg

from imagesvc.accounts.errors import AccountGone
from imagesvc.db import Database, new_id
from imagesvc.errors import ImagesvcError
from imagesvc.links.errors import REFUSALS
from imagesvc.metrics.instruments import count_accepted
from imagesvc.settings import Settings
from imagesvc.storage.bucket import Storage
from imagesvc.storage.loose_objects import KeyReaped
from imagesvc.tasks.queue import Queue
from imagesvc.uploads import queries
from imagesvc.uploads.errors import AlreadyAdmitted, DigestMismatch, NotAdmitted
from imagesvc.uploads.file_context import FileContext
from imagesvc.uploads.incoming_file import IncomingFile, StoredKeys
from imagesvc.uploads.source import UploadSource

ROUNDS = 5
"""How often admission goes round when the same content is deleted and stored by others at the same time."""
EVERYBODY = UUID(int=0)
"""The scope of blobs that all owners share."""


Told = tuple[FileContext, bytes | None]
"""What is told about a file: its context, and the SHA-256 that its sender names."""
Ids = tuple[UUID, UUID, UUID, UUID]
"""For what admission makes: upload, image, blob and task."""
Tell = Callable[[], Awaitable[Told]]
BatchEnded = Callable[[UUID, UUID], Awaitable[None]]
"""Told the owner and the batch when a request has ended."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    status: Literal["created", "duplicate"]
    upload_id: UUID
    image_id: UUID
    sha256: bytes
    bytes: int


class Admission:
    def __init__(
        self,
        settings: Settings,
        database: Database,
        storage: Storage,
        queue: Queue,
        batch_ended: BatchEnded | None = None,
    ) -> None:
        self._batch_ended = batch_ended
        self._settings = settings
        self._database = database
        self._queue = queue
        self._keys = StoredKeys(settings, database, storage)

    async def admit(
        self,
        chunks: AsyncIterator[bytes],
        context: FileContext,
        source: UploadSource,
        *,
        position: int = 0,
        declared_bytes: int | None = None,
        max_bytes: int | None = None,
        expected_sha256: bytes | None = None,
        upload_id: UUID | None = None,
    ) -> Admitted:
        """Take one file in. After it returns, bytes and rows are durable (invariant 1).

        Where its size was not declared, ``max_bytes`` may bound it: a link then reserves no more than that.
        With an ``upload_id``, which whoever repeats it gives again, it is admitted once: AlreadyAdmitted is raised.
        Raises the errors of ``uploads.errors`` and ``links.errors``; nothing is kept then.
        """
        body = IncomingFile(self._keys, source, declared_bytes=declared_bytes, max_bytes=max_bytes)

        async def tell() -> Told:
            return context, expected_sha256

        return await self._admit(body, chunks, tell, source, position=position, upload_id=upload_id)

    async def admit_before_told(
        self,
        chunks: AsyncIterator[bytes],
        tell: Tell,
        source: UploadSource,
        *,
        position: int,
        max_bytes: int | None,
    ) -> Admitted:
        """Like ``admit``, for a file whose context comes behind it: ``tell`` is called once, when the file is there.

        What ``tell`` raises is raised, and nothing is kept.
        """
        body = IncomingFile(self._keys, source, declared_bytes=None, max_bytes=max_bytes)
        return await self._admit(body, chunks, tell, source, position=position)

    async def _admit(
        self,
        body: IncomingFile,
        chunks: AsyncIterator[bytes],
        tell: Tell,
        source: UploadSource,
        *,
        position: int,
        upload_id: UUID | None = None,
    ) -> Admitted:
        ids = (upload_id or new_id(), new_id(), new_id(), new_id())
        key: str | None = None
        try:
            await body.receive(chunks)
            context, expected_sha256 = await tell()
            if expected_sha256 is not None and body.sha256 != expected_sha256:
                raise DigestMismatch("The SHA-256 of what arrived is another one: send the file again.")
            key = body.key
            for _ in range(ROUNDS):
                key = key or await self._keys.hold_small(body, self._scope(source))
                admitted = await self._insert(ids, body, context, source, key=key, position=position)
                if admitted is not None:
                    return admitted
            raise NotAdmitted
        except BaseException:
            if abandoned := key or body.key:
                await asyncio.shield(self._keys.release(abandoned))
            raise

    async def end_batch(self, source: UploadSource, *, rejected: int = 0) -> None:
        """The request has ended: no more comes by this batch, and ``rejected`` of its files were not taken.

        Where this cannot be written, the batch tells of none, and who listens hears later that it has ended.
        """
        with contextlib.suppress(ImagesvcError):
            if rejected:
                await self._database.fetch_row(queries.NOTE_REJECTED, source.batch_id, rejected)
            if self._batch_ended is not None and source.batch_id is not None:
                await self._batch_ended(source.owner_id, source.batch_id)

    def _scope(self, source: UploadSource) -> UUID:
        return scope_of(self._settings, source.owner_id)

    async def _insert(
        self,
        ids: Ids,
        body: IncomingFile,
        context: FileContext,
        source: UploadSource,
        *,
        key: str | None,
        position: int,
    ) -> Admitted | None:
        """The admission transaction; None when the blob turned out to need a key that we do not have."""
        try:
            row = await self._database.fetch_row(
                queries.ADMIT,
                *(*ids, source.batch_id, position),
                *(source.owner_id, self._scope(source), source.link.id if source.link else None, source.way),
                *(body.sha256, body.size, body.media_type, key),
                *(context.filename, context.title, context.description, context.visibility),
                *(context.captured_at, context.store_id, context.store_name, context.camera_id, context.barcode),
            )
        except asyncpg.PostgresError as error:
            if error.sqlstate == queries.KEY_WAS_REAPED:
                raise KeyReaped from error
            if isinstance(error, asyncpg.ForeignKeyViolationError):
                raise AccountGone from error
            if isinstance(error, asyncpg.UniqueViolationError) and error.constraint_name == "uploads_pkey":
                raise AlreadyAdmitted from error
            raise
        match row["outcome"]:
            case "created" | "duplicate" as status:
                count_accepted(source.way, status, body.size)
                if row["task_id"] is not None:
                    self._queue.wake_soon(row["task_id"])
                return Admitted(
                    status=status,
                    upload_id=ids[0],
                    image_id=row["image_id"],
                    sha256=body.sha256,
                    bytes=body.size,
                )
            case "need-key":
                return None
            case "key-lost":
                raise KeyReaped
            case refusal:
                raise REFUSALS[refusal]


def scope_of(settings: Settings, owner_id: UUID) -> UUID:
    """Among whose blobs the same content is looked for."""
    return EVERYBODY if settings.dedupe_scope == "all" else owner_id
