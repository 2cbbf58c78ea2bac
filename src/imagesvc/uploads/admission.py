"""Admits one file. Every way of uploading ends here, except resumable uploads, which end in ``tus/finish.py``.

``incoming_file`` hashes, recognizes and counts the stream, and stores the content under a held key. Then one database
function, ``admit_file``, locks link and blob, inserts image, upload and task, and gives the key to the blob. A failure
at any point leaves at most a row in ``loose_objects``, which the reaper deletes together with its object.
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
from imagesvc.storage.loose_objects import KeyReaped, raising_key_reaped
from imagesvc.tasks.queue import Queue
from imagesvc.uploads import queries
from imagesvc.uploads.errors import AlreadyAdmitted, DigestMismatch, NotAdmitted
from imagesvc.uploads.file_context import FileContext
from imagesvc.uploads.incoming_file import IncomingFile, StoredKeys
from imagesvc.uploads.queries import AdmissionRecord, AdmissionRow
from imagesvc.uploads.source import UploadSource

MAX_ATTEMPTS = 5
"""How often one file is tried when other requests delete and store the same content at the same time."""
SHARED_SCOPE = UUID(int=0)
"""The scope of blobs that all owners share."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FileDescription:
    """What the sender states about a file: its context, and its SHA-256 if given."""

    context: FileContext
    expected_sha256: bytes | None


ReadDescription = Callable[[], Awaitable[FileDescription]]
AdmitStatement = Callable[[Database, AdmissionRecord], Awaitable[AdmissionRow]]
"""Runs ``admit_file``, and what the same transaction should write."""
OnBatchEnded = Callable[[UUID, UUID], Awaitable[None]]
"""Called with the ids of the owner and the batch when a request has ended."""


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
        batch_ended: OnBatchEnded | None = None,
    ) -> None:
        self._on_batch_ended = batch_ended
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
        """Admit one file. When this returns, bytes and rows are durable (invariant 1).

        ``max_bytes`` bounds a file whose size is not declared: a link then reserves no more than that.
        A caller that may repeat the call passes its own ``upload_id``: a repetition raises AlreadyAdmitted.
        Raises the errors of ``uploads.errors`` and ``links.errors``; then nothing is kept.
        """
        file = IncomingFile(self._keys, source, declared_bytes=declared_bytes, max_bytes=max_bytes)
        description = FileDescription(context=context, expected_sha256=expected_sha256)

        async def read_description() -> FileDescription:
            return description

        return await self._admit(file, chunks, read_description, source, position=position, upload_id=upload_id)

    async def admit_described_later(
        self,
        chunks: AsyncIterator[bytes],
        read_description: ReadDescription,
        source: UploadSource,
        *,
        position: int,
        max_bytes: int | None,
        statement: AdmitStatement = queries.ADMIT_FILE.run,
    ) -> Admitted:
        """Like ``admit``, for a file whose context follows it in the request.

        ``read_description`` is called once, after the last chunk. What it raises is raised here; then nothing is kept.
        """
        file = IncomingFile(self._keys, source, declared_bytes=None, max_bytes=max_bytes)
        return await self._admit(file, chunks, read_description, source, position=position, statement=statement)

    async def _admit(
        self,
        file: IncomingFile,
        chunks: AsyncIterator[bytes],
        read_description: ReadDescription,
        source: UploadSource,
        *,
        position: int,
        upload_id: UUID | None = None,
        statement: AdmitStatement = queries.ADMIT_FILE.run,
    ) -> Admitted:
        key: str | None = None
        try:
            await file.receive(chunks)
            description = await read_description()
            if description.expected_sha256 not in (None, file.sha256):
                raise DigestMismatch("The received bytes have another SHA-256. Send the file again.")
            record = self._record(file, description.context, source, position=position, upload_id=upload_id)
            key = file.key
            for _ in range(MAX_ATTEMPTS):
                key = key or await self._keys.store_small(file, record.scope)
                admitted = await self._insert(dataclasses.replace(record, key=key), statement)
                if admitted is not None:
                    return admitted
            raise NotAdmitted
        except BaseException:
            if abandoned := key or file.key:
                await asyncio.shield(self._keys.release(abandoned))
            raise

    def _record(
        self, file: IncomingFile, context: FileContext, source: UploadSource, *, position: int, upload_id: UUID | None
    ) -> AdmissionRecord:
        return AdmissionRecord(
            upload=upload_id or new_id(),
            image=new_id(),
            blob=new_id(),
            task=new_id(),
            batch=source.batch_id,
            position=position,
            owner=source.owner_id,
            scope=scope_of(self._settings, source.owner_id),
            link=source.link_id,
            way=source.way,
            sha256=file.sha256,
            bytes=file.size,
            media_type=file.media_type,
            key=None,
            filename=context.filename,
            title=context.title,
            description=context.description,
            visibility=context.visibility,
            captured_at=context.captured_at,
            store_id=context.store_id,
            store_name=context.store_name,
            camera_id=context.camera_id,
            barcode=context.barcode,
        )

    async def end_batch(self, source: UploadSource, *, rejected: int = 0) -> None:
        """Record the end of a request: its batch gets no more uploads, and ``rejected`` of its files were refused.

        When the database is away, the batch shows no rejected files, and webhooks report its end later.
        """
        with contextlib.suppress(ImagesvcError):
            if rejected:
                await self._database.fetch_row(queries.SET_REJECTED, source.batch_id, rejected)
            if self._on_batch_ended is not None and source.batch_id is not None:
                await self._on_batch_ended(source.owner_id, source.batch_id)

    async def _insert(self, record: AdmissionRecord, statement: AdmitStatement) -> Admitted | None:
        """Run the admission transaction. Returns None when the blob needs a key and the record has none."""
        row = await self._run(record, statement)
        match row.outcome:
            case "created" | "duplicate" as status:
                count_accepted(record.way, status, record.bytes)
                if row.task_id is not None:
                    self._queue.wake_soon(row.task_id)
                return Admitted(
                    status=status,
                    upload_id=record.upload,
                    image_id=row.image_id,
                    sha256=record.sha256,
                    bytes=record.bytes,
                )
            case "need-key":
                return None
            case "key-lost":
                raise KeyReaped
            case refusal:
                raise REFUSALS[refusal]

    async def _run(self, record: AdmissionRecord, statement: AdmitStatement) -> AdmissionRow:
        try:
            with raising_key_reaped():
                return await statement(self._database, record)
        except asyncpg.ForeignKeyViolationError as error:
            raise AccountGone from error
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name == "uploads_pkey":
                raise AlreadyAdmitted from error
            raise


def scope_of(settings: Settings, owner_id: UUID) -> UUID:
    """The scope in which contents of this owner are deduplicated."""
    return SHARED_SCOPE if settings.dedupe_scope == "all" else owner_id
