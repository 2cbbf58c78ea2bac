"""Task handler that makes a resize: derives the file in the sandbox, then writes the result in one transaction."""

import datetime as dt
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.db import Database
from imagesvc.images import processing_problems
from imagesvc.images import queries as image_queries
from imagesvc.images.derive import Derived, Deriver
from imagesvc.images.models import Blob
from imagesvc.processing.contract import Rejected
from imagesvc.processing.contract import Resize as ResizeRequest
from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.resizes import queries
from imagesvc.resizes.models import Resize
from imagesvc.settings import Settings
from imagesvc.storage import loose_objects
from imagesvc.storage.bucket import Storage
from imagesvc.tasks import leases
from imagesvc.tasks.leases import Lease
from imagesvc.tasks.runner import RetryTask

_REQUEST = TypeAdapter(ResizeRequest)


class ResizeTask:
    def __init__(self, settings: Settings, database: Database, storage: Storage, sandbox: Sandbox) -> None:
        self._kept_for = dt.timedelta(seconds=settings.resize_seconds)
        self._sessions = database.sessions
        self._deriver = Deriver(settings, database, storage, sandbox, key_prefix="z")

    async def run(self, lease: Lease) -> None:
        """Make the resize that the task names. Raises RetryTask."""
        key = await self._start(lease)
        result: Derived | Rejected | None = None
        if key is not None:
            request = _REQUEST.validate_python(lease.payload["work"])
            result = await self._deriver.derive(key, request, log_fields={"resize": str(lease.payload["token"])})
        await self._end(lease, result)

    async def _start(self, lease: Lease) -> str | None:
        """Set the row to `started` and return the key of its source; None when the row no longer names this task."""
        async with self._sessions.begin() as session:
            row = await queries.lock_resize_of_task(
                session, _token(lease), lease.task_id, *queries.UNFINISHED, "failed"
            )
            if row is None:
                return None
            row.state, row.problem, row.expires_at = "started", None, None
            if lease.blob_id is None:
                return row.source_key
            blob = await session.get(Blob, lease.blob_id)
            return blob.key if blob is not None else None

    async def _end(self, lease: Lease, result: Derived | Rejected | None) -> None:
        """Write the result, end the task, and delete the blob if the task was its last reference.

        The loose objects are last in the lock order.
        """
        async with self._sessions.begin() as session:
            if lease.blob_id is not None:
                await image_queries.lock_blob(session, lease.blob_id)
            row = await queries.lock_resize_of_task(session, _token(lease), lease.task_id, "started")
            freed = []
            if row is not None and result is not None:
                freed = [row.source_key] if row.source_key else []
                self._write_result(row, result)
                await session.flush()
            await leases.finish(session, lease)
            if lease.blob_id is not None:
                freed += await image_queries.delete_unreferenced_blobs(session, [lease.blob_id])
            await loose_objects.disown(session, freed)
            if isinstance(result, Derived):
                await (loose_objects.release if row is None else loose_objects.take)(session, result.keys)

    def _write_result(self, row: Resize, result: Derived | Rejected) -> None:
        row.source_key = None
        row.expires_at = func.now() + self._kept_for
        if isinstance(result, Rejected):
            row.state, row.problem = "rejected", processing_problems.rejection(result.slug, result.detail)
        else:
            (file,) = result.files
            row.state = "success"
            row.key, row.sha256, row.bytes = file.key, file.sha256, file.bytes
            row.width, row.height = file.width, file.height

    async def fail(self, session: AsyncSession, lease: Lease, error: RetryTask) -> None:
        """Called after the last attempt: set the row to `failed`.

        The source is kept until the row expires, so that an operator can retry the dead letter.
        """
        row = await queries.lock_resize_of_task(session, _token(lease), lease.task_id, *queries.UNFINISHED)
        if row is not None:
            row.state, row.problem = "failed", processing_problems.failure(error.reason)
            row.expires_at = func.now() + self._kept_for
            await session.flush()


def _token(lease: Lease) -> UUID:
    return lease.payload_id("token")
