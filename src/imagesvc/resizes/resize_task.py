"""What the worker does for a resize: the sandbox makes it, one transaction writes it down and ends the task."""

import asyncio
import dataclasses
import datetime as dt
import time
from hashlib import sha256
from uuid import UUID

import structlog
from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.db import Database
from imagesvc.images import processing_problems
from imagesvc.images import queries as images
from imagesvc.images.models import Blob
from imagesvc.images.processing_tasks import SANDBOX_ATTEMPTS, write_chunks
from imagesvc.metrics.instruments import count_sandbox_run
from imagesvc.processing.contract import MEDIA_TYPE_OF_FORMAT, Failed, Rejected, RenditionFile
from imagesvc.processing.contract import Resize as Work
from imagesvc.processing.sandbox import Sandbox
from imagesvc.resizes import queries
from imagesvc.resizes.models import Resize
from imagesvc.settings import Settings
from imagesvc.storage import loose_objects
from imagesvc.storage.bucket import ObjectGone, Storage, new_key
from imagesvc.tasks import leases
from imagesvc.tasks.leases import Lease
from imagesvc.tasks.runner import RetryTask

log = structlog.get_logger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A result under a held key."""

    key: str
    width: int
    height: int
    sha256: bytes
    bytes: int


class ResizeTask:
    def __init__(self, settings: Settings, database: Database, storage: Storage, sandbox: Sandbox) -> None:
        self._settings = settings
        self._sessions = database.sessions
        self._storage = storage
        self._sandbox = sandbox

    async def make(self, lease: Lease) -> None:
        """The task's handler."""
        key = await self._start(lease)
        outcome = await self._work(lease, key) if key is not None else None
        await self._end(lease, outcome)

    async def _start(self, lease: Lease) -> str | None:
        """The key of the source; None when nobody waits for this task any more."""
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

    async def _work(self, lease: Lease, key: str) -> Made | Rejected:
        """Raises TryLater when there is no result and that is not the file's fault."""
        async with self._sandbox.scratch() as folder:
            try:
                await write_chunks(folder / "original", self._storage.read(key))
            except ObjectGone as error:
                raise RetryTask("object-lost", at_most=1) from error
            outcome = await self._sandbox.run(Work.model_validate(lease.payload["work"]), folder)
            count_sandbox_run(outcome.reason if isinstance(outcome, Failed) else type(outcome).__name__.lower())
            if isinstance(outcome, Failed):
                log.warning("sandbox failed", resize=lease.payload["token"], reason=outcome.reason)
                at_most = SANDBOX_ATTEMPTS if outcome.reason.startswith("decoder-") else None
                raise RetryTask(outcome.reason, at_most=at_most)
            return outcome if isinstance(outcome, Rejected) else await self._store(outcome.renditions[0])

    async def _store(self, file: RenditionFile) -> Made:
        key, begun = new_key("z"), time.monotonic()
        async with self._sessions.begin() as session:
            await loose_objects.hold(session, [key], seconds=self._settings.hold_seconds)
        until = loose_objects.hold_until(self._settings, since=begun)
        body = await asyncio.to_thread(file.path.read_bytes)
        await self._storage.put(key, body, media_type=MEDIA_TYPE_OF_FORMAT[file.format], until=until)
        digest = sha256(body).digest()
        return Made(key=key, width=file.width, height=file.height, sha256=digest, bytes=len(body))

    async def _end(self, lease: Lease, outcome: Made | Rejected | None) -> None:
        """Whoever ends the last reference frees the blob. Loose objects are locked last."""
        made = outcome if isinstance(outcome, Made) else None
        async with self._sessions.begin() as session:
            if lease.blob_id is not None:
                await images.lock_blob(session, lease.blob_id)
            row = await queries.lock_resize_of_task(session, _token(lease), lease.task_id, "started")
            freed = []
            if row is not None and outcome is not None:
                freed = [row.source_key] if row.source_key else []
                self._write_down(row, outcome)
                await session.flush()
            await leases.finish(session, lease)
            if lease.blob_id is not None:
                freed += await images.delete_blobs_nobody_needs(session, [lease.blob_id])
            await loose_objects.disown(session, freed)
            if made is not None:
                await (loose_objects.release if row is None else loose_objects.take)(session, [made.key])

    def _write_down(self, row: Resize, outcome: Made | Rejected) -> None:
        row.source_key = None
        row.expires_at = func.now() + dt.timedelta(seconds=self._settings.resize_seconds)
        if isinstance(outcome, Rejected):
            row.state, row.problem = "rejected", processing_problems.rejection(outcome.slug, outcome.detail)
        else:
            row.state = "success"
            row.key, row.sha256, row.bytes = outcome.key, outcome.sha256, outcome.bytes
            row.width, row.height = outcome.width, outcome.height

    async def give_up(self, session: AsyncSession, lease: Lease, error: RetryTask) -> None:
        """The last attempt has failed. The source stays for a retry of the dead letter, until the answer expires."""
        row = await queries.lock_resize_of_task(session, _token(lease), lease.task_id, *queries.UNFINISHED)
        if row is not None:
            row.state, row.problem = "failed", processing_problems.failure(error.reason)
            row.expires_at = func.now() + dt.timedelta(seconds=self._settings.resize_seconds)
            await session.flush()


def _token(lease: Lease) -> UUID:
    return UUID(lease.payload["token"])
