"""Finishes an upload whose bytes are all stored: join the parts, hash, check, admit. The task ``finish_resumable``.

When one request brought all bytes, their hash is known: a small file is admitted at once (``complete``), and the task
of a large one does not read it (``remember``).

Every step can be repeated by the worker that has the lease of the task. A repeated completion in S3 is settled by the
size of the object. Admission and the end of the task are one transaction.
"""

import dataclasses
import time
from hashlib import sha256
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.db import Database, new_id
from imagesvc.errors import ImagesvcError
from imagesvc.http.problems import as_problem
from imagesvc.links.errors import REFUSALS
from imagesvc.metrics.instruments import CREATED, DUPLICATE, count_accepted, count_refused
from imagesvc.processing.sniff import SNIFF_BYTES, sniff
from imagesvc.settings import Settings
from imagesvc.storage.bucket import ObjectGone, Storage, StorageAway
from imagesvc.storage.loose_objects import raising_key_reaped
from imagesvc.tasks.leases import Lease, raising_lease_lost
from imagesvc.tasks.queue import Queue
from imagesvc.tasks.runner import RetryTask
from imagesvc.uploads.admission import scope_of
from imagesvc.uploads.errors import DigestMismatch, NotAnImage
from imagesvc.uploads.tus import queries
from imagesvc.uploads.tus.abort import BEGINS_WITHIN_SECONDS, MARGIN_SECONDS, AbortUpload
from imagesvc.uploads.tus.errors import BytesLost, TakenOver
from imagesvc.uploads.tus.queries import CompletedRow, CompleteResumable, FinishingRow, FinishResumable, ResumableRow

MAX_REMEMBERED = 1_000
PROBLEMS = {slug: as_problem(kind()) for slug, kind in REFUSALS.items()}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What receiving the file, or reading the stored object once, shows. ``head`` are its first bytes."""

    sha256: bytes
    size: int
    head: bytes


class FinishUpload:
    def __init__(
        self, settings: Settings, database: Database, storage: Storage, queue: Queue, ending: AbortUpload
    ) -> None:
        self._settings = settings
        self._database = database
        self._storage = storage
        self._queue = queue
        self._abort = ending
        self._received: dict[UUID, Content] = {}

    def remember(self, upload_id: UUID, content: Content) -> None:
        """Spare the task of this upload, when it runs in this process, to read what this process has received."""
        if len(self._received) >= MAX_REMEMBERED:
            del self._received[next(iter(self._received))]
        self._received[upload_id] = content

    async def complete(self, upload: ResumableRow, content: Content, tail_key: str, *, owner_id: UUID) -> CompletedRow:
        """Count the whole file, which is stored under ``tail_key``, and admit it, in one transaction.

        A file with another hash than declared is only counted; its task refuses it. Raises TakenOver, and KeyReaped.
        """
        settings, media_type = self._settings, sniff(content.head)
        assert media_type is not None  # noqa: S101 - the request was refused otherwise
        row = CompleteResumable(
            id=upload.id,
            epoch=upload.epoch,
            from_=upload.upload_offset,
            tail_key=tail_key,
            tail_bytes=content.size,
            media_type=media_type,
            task=new_id(),
            idle_seconds=settings.resumable_idle_seconds,
            max_seconds=settings.resumable_max_seconds,
            scope=scope_of(settings, owner_id),
            sha256=content.sha256,
            upload=new_id(),
            image=new_id(),
            blob=new_id(),
            process_task=new_id(),
            problems=PROBLEMS,
            keep_seconds=settings.resumable_result_seconds,
            margin_seconds=MARGIN_SECONDS,
        )
        with raising_key_reaped():
            completed = await queries.COMPLETE.run(self._database, row)
        if completed.state is None:
            raise TakenOver
        if completed.outcome is not None:
            self._count(completed.outcome, upload.length, completed.task_id)
        return completed

    async def finish(self, lease: Lease) -> None:
        """Admit the upload or, when the file is not acceptable, end it; both end the task. Raises RetryTask."""
        until = time.monotonic() + BEGINS_WITHIN_SECONDS
        upload = await self._database.fetch_one_or_none(queries.FINISHING, FinishingRow, _upload_id(lease))
        if upload is None:  # terminated in the meantime: only the task is left to end
            await self._refuse(lease, BytesLost())
            return
        try:
            key = await self._complete(upload, until=until)
            content = self._received.pop(upload.id, None) or await self._read(key)
        except ObjectGone as error:
            raise RetryTask("object-gone") from error
        except StorageAway as error:
            raise RetryTask("storage-away", counts=False) from error
        if content.size != upload.length:
            raise RetryTask("size-differs")
        media_type = sniff(content.head)
        if media_type is None:
            await self._refuse(lease, NotAnImage())
        elif upload.expected_sha256 not in (None, content.sha256):
            await self._refuse(lease, DigestMismatch("The received bytes have another SHA-256. Send the file again."))
        else:
            await self._admit(lease, upload, sha256=content.sha256, media_type=media_type)

    async def give_up(self, session: AsyncSession, lease: Lease, error: RetryTask) -> None:
        """Called after the last attempt: ends the upload with an error of this service."""
        await self._abort.give_up(session, _upload_id(lease), BytesLost())

    async def _complete(self, upload: FinishingRow, *, until: float) -> str:
        """The key of the one object that holds all bytes."""
        if not upload.parts:
            return str(upload.tail_key)
        etags = [(number, etag) for number, etag, _ in upload.parts]
        key = str(upload.key)
        await self._storage.complete_multipart(
            key, str(upload.s3_upload_id), etags, size=upload.parts_bytes, until=until
        )
        return key

    async def _read(self, key: str) -> Content:
        digest, size, head = sha256(), 0, b""
        async for chunk in self._storage.read(key):
            digest.update(chunk)
            size += len(chunk)
            if len(head) < SNIFF_BYTES:
                head = (head + chunk)[:SNIFF_BYTES]
        return Content(sha256=digest.digest(), size=size, head=head)

    async def _refuse(self, lease: Lease, error: ImagesvcError) -> None:
        with raising_lease_lost():
            await self._abort.refuse(_upload_id(lease), error, states=("finishing",), lease=lease)

    async def _admit(self, lease: Lease, upload: FinishingRow, *, sha256: bytes, media_type: str) -> None:
        finish = FinishResumable(
            id=upload.id,
            task=lease.task_id,
            lease=lease.token,
            scope=scope_of(self._settings, upload.owner_id),
            sha256=sha256,
            media_type=media_type,
            upload=new_id(),
            image=new_id(),
            blob=new_id(),
            process_task=new_id(),
            problems=PROBLEMS,
            keep_seconds=self._settings.resumable_result_seconds,
            margin_seconds=MARGIN_SECONDS,
        )
        with raising_lease_lost():
            row = await queries.FINISH.run(self._database, finish)
        self._count(row.outcome, upload.length, row.task_id)

    def _count(self, outcome: str, size: int, task_id: UUID | None) -> None:
        if outcome in REFUSALS:
            count_refused("tus", REFUSALS[outcome].slug)
        elif outcome in (CREATED, DUPLICATE):
            count_accepted("tus", outcome, size)
        if task_id is not None:
            self._queue.wake_soon(task_id)


def _upload_id(lease: Lease) -> UUID:
    return lease.payload_id("resumable_id")
