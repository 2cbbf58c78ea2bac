"""All bytes are there: make them one object, hash it, judge it, admit it. The task ``finish_resumable``.

Every step can be repeated, by whoever has the task's lease: completing twice is settled by size, admission happens in
the transaction that ends the task.
"""

import contextlib
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.db import Database, new_id
from imagesvc.errors import ImagesvcError
from imagesvc.http.problems import as_problem
from imagesvc.links.errors import REFUSALS
from imagesvc.metrics.instruments import CREATED, DUPLICATE, count_accepted, count_refused
from imagesvc.processing.sniff import SNIFF_BYTES, sniff
from imagesvc.settings import Settings
from imagesvc.storage.bucket import ObjectGone, Storage, StorageAway
from imagesvc.tasks.leases import Lease, LeaseLost
from imagesvc.tasks.queue import Queue
from imagesvc.tasks.runner import RetryTask
from imagesvc.uploads.admission import scope_of
from imagesvc.uploads.errors import DigestMismatch, NotAnImage
from imagesvc.uploads.tus import queries
from imagesvc.uploads.tus.abort import MARGIN_SECONDS, AbortUpload
from imagesvc.uploads.tus.append import BEGINS_WITHIN_SECONDS
from imagesvc.uploads.tus.errors import BytesLost

PROBLEMS = {slug: as_problem(kind()) for slug, kind in REFUSALS.items()}


class FinishUpload:
    def __init__(
        self, settings: Settings, database: Database, storage: Storage, queue: Queue, ending: AbortUpload
    ) -> None:
        self._settings = settings
        self._database = database
        self._storage = storage
        self._queue = queue
        self._ending = ending

    async def finish(self, lease: Lease) -> None:
        """Raises TryLater; what is wrong with the file ends the upload and the task."""
        until = time.monotonic() + BEGINS_WITHIN_SECONDS
        upload = await self._database.fetch_row(queries.FINISHING, _id(lease))
        if upload is None:  # terminated meanwhile: only the task is there to be ended
            await self._refuse(lease, BytesLost())
            return
        try:
            digest, size, head = await self._read(await self._whole(upload, until=until))
        except ObjectGone as error:
            raise RetryTask("object-gone") from error
        except StorageAway as error:
            raise RetryTask("storage-away", counts=False) from error
        if size != upload["length"]:
            raise RetryTask("size-differs")
        media_type = sniff(head)
        if media_type is None:
            await self._refuse(lease, NotAnImage())
        elif upload["expected_sha256"] not in (None, digest):
            await self._refuse(
                lease, DigestMismatch("The SHA-256 of what arrived is another one: send the file again.")
            )
        else:
            await self._admit(lease, upload, sha256=digest, media_type=media_type)

    async def give_up(self, session: AsyncSession, lease: Lease, error: RetryTask) -> None:
        """The last attempt has failed: the upload ends, and says that it was us."""
        await self._ending.give_up(session, _id(lease), BytesLost())

    async def _whole(self, upload: Any, *, until: float) -> str:
        """The key of the one object that holds everything."""
        if not upload["parts"]:
            return str(upload["tail_key"])
        etags = [(number, etag) for number, etag, _ in upload["parts"]]
        key = str(upload["key"])
        await self._storage.complete_multipart(
            key, upload["s3_upload_id"], etags, size=upload["parts_bytes"], until=until
        )
        return key

    async def _read(self, key: str) -> tuple[bytes, int, bytes]:
        digest, size, head = sha256(), 0, b""
        async for chunk in self._storage.read(key):
            digest.update(chunk)
            size += len(chunk)
            if len(head) < SNIFF_BYTES:
                head = (head + chunk)[:SNIFF_BYTES]
        return digest.digest(), size, head

    async def _refuse(self, lease: Lease, error: ImagesvcError) -> None:
        with _of_the_lease():
            await self._ending.refuse(_id(lease), error, states=("finishing",), lease=lease)

    async def _admit(self, lease: Lease, upload: Any, *, sha256: bytes, media_type: str) -> None:
        task = (lease.task_id, lease.token)
        ids = (new_id(), new_id(), new_id(), new_id())
        times = (self._settings.resumable_result_seconds, MARGIN_SECONDS)
        scope = scope_of(self._settings, upload["owner_id"])
        arguments = (upload["id"], *task, scope, sha256, media_type, *ids, PROBLEMS, *times)
        with _of_the_lease():
            row = await self._database.fetch_row(queries.FINISH, *arguments)
        if row["outcome"] in REFUSALS:
            count_refused("tus", REFUSALS[row["outcome"]].slug)
        elif row["outcome"] in (CREATED, DUPLICATE):
            count_accepted("tus", row["outcome"], upload["length"])
        if row["task_id"] is not None:
            self._queue.wake_soon(row["task_id"])


def _id(lease: Lease) -> UUID:
    return UUID(lease.payload["resumable_id"])


@contextlib.contextmanager
def _of_the_lease() -> Iterator[None]:
    try:
        yield
    except asyncpg.PostgresError as error:
        if error.sqlstate == queries.LEASE_WAS_LOST:
            raise LeaseLost from error
        raise
