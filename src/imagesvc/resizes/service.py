"""Take a request for a resize, and answer for it."""

import asyncio
import time
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.accounts.errors import AccountGone
from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.images.errors import ImageNotFound
from imagesvc.processing.contract import as_json
from imagesvc.resizes import queries
from imagesvc.resizes.errors import NoResult, NotAResize, ResizeExpired, ResizeNotFound, TooManyResizes
from imagesvc.resizes.models import Resize
from imagesvc.resizes.request_reader import Read
from imagesvc.resizes.schemas import NewResize, ResizeOut, ResizeProblem
from imagesvc.settings import Settings
from imagesvc.storage import loose_objects
from imagesvc.storage.bucket import Storage, new_key
from imagesvc.tasks.leases import new_task
from imagesvc.tasks.queue import Queue
from imagesvc.uploads.concurrency import UploadConcurrency
from imagesvc.uploads.errors import NoFile
from imagesvc.uploads.incoming_file import IncomingFile, StoredKeys
from imagesvc.uploads.source import UploadSource

KIND = "resize"
NAMESPACE = UUID("3f1b6f0a-5a0e-5f6e-9d6b-2f1c1f1a7c55")
STATUS = {
    "pending": "PENDING",
    "started": "STARTED",
    "success": "SUCCESS",
    "rejected": "FAILURE",
    "failed": "FAILURE",
}
Row = Any


class Resizes:
    def __init__(
        self, settings: Settings, database: Database, storage: Storage, queue: Queue, concurrency: UploadConcurrency
    ) -> None:
        self._settings = settings
        self._database = database
        self._storage = storage
        self._queue = queue
        self._concurrency = concurrency
        self._keys = StoredKeys(settings, database, storage)

    async def ask(self, caller: Caller, read: Read, *, declared_bytes: int | None) -> UUID:
        """The token under which the result will be found; the work begins unless it is known already.

        Raises what ``read`` raises, NotAResize, NoFile, TooManyResizes, and of the file or image what is wrong with it.
        """
        caller.require("upload")
        most = min(self._settings.resize_max_bytes, self._settings.max_file_bytes)
        source = UploadSource(owner_id=caller.user_id, way="user", max_file_bytes=most, batch_id=None)
        async with self._concurrency.enter(source, declared_bytes=declared_bytes):
            body = IncomingFile(self._keys, source, declared_bytes=None, max_bytes=declared_bytes)
            key: str | None = None
            try:
                wanted = await read(body.receive)
                self._require_possible(wanted, has_file=bool(body.sha256))
                if wanted.image_id is not None:
                    return await self._begin(caller, wanted, wanted.image_id, key=None)
                token = token_of(caller.user_id, body.sha256, wanted)
                if await self._is_known(caller, token):
                    key = body.key
                    await self._keys.release(key) if key else None
                    return token
                key = body.key or await self._store(body)
                return await self._begin(caller, wanted, body.sha256, key=key)
            except BaseException:
                if abandoned := key or body.key:
                    await asyncio.shield(self._keys.release(abandoned))
                raise

    def _require_possible(self, wanted: NewResize, *, has_file: bool) -> None:
        if has_file and wanted.image_id is not None:
            detail = "Send a file or `image_id`, not both."
            raise NotAResize(detail, errors=[{"pointer": "/image_id", "detail": detail}])
        if not has_file and wanted.image_id is None:
            missing = {"pointer": "/image", "detail": "A picture in base64, a `file` part or `image_id` is needed."}
            raise NoFile("There is no picture in the request.", errors=[missing])
        most, sides = self._settings.resize_max_side, {"width": wanted.width, "height": wanted.height}
        detail = f"At most {most} pixels."
        if errors := [{"pointer": f"/{name}", "detail": detail} for name, side in sides.items() if side > most]:
            raise NotAResize(detail, errors=errors)

    async def _is_known(self, caller: Caller, token: UUID) -> bool:
        """Most repetitions end here, without storing the file once more."""
        row = await self._database.fetch_row(queries.RESIZE_OF, caller.user_id, token)
        return row is not None and not row["expired"] and row["state"] != "failed"

    async def _store(self, body: IncomingFile) -> str:
        key, begun = new_key("z"), time.monotonic()
        async with self._database.sessions.begin() as session:
            await loose_objects.hold(session, [key], seconds=self._settings.hold_seconds)
        until = loose_objects.hold_until(self._settings, since=begun)
        try:
            await self._storage.put(key, body.tail, media_type=body.media_type, until=until)
        except BaseException:
            await asyncio.shield(self._keys.release(key))
            raise
        return key

    async def _begin(self, caller: Caller, wanted: NewResize, source: bytes | UUID, *, key: str | None) -> UUID:
        """One transaction: row and task, unless somebody was faster. ``source`` is the file's hash, or an image."""
        blob_id: UUID | None = None
        async with self._database.sessions.begin() as session:
            if not await queries.lock_account(session, caller.user_id):
                raise AccountGone
            if isinstance(source, UUID):
                caller.require("read")
                blob = await queries.lock_blob_of_image(session, caller.user_id, source, is_admin=caller.is_admin)
                if blob is None:
                    raise ImageNotFound
                blob_id, source = blob
            token = token_of(caller.user_id, source, wanted)
            task = new_task(kind=KIND, blob_id=blob_id, payload={"token": str(token), "work": as_json(wanted.work)})
            row = await self._row_to_start(session, caller, token, wanted, task.id, blob_id=blob_id)
            if row is None:
                await loose_objects.release(session, [key] if key else [])
                return token
            freed = [old for old in (row.source_key, row.key) if old is not None]
            row.source_key, row.key = key, None
            session.add_all([row, task])
            await session.flush()
            await loose_objects.disown(session, freed)
            if key is not None:
                await loose_objects.take(session, [key])
        await self._queue.wake(task.id, is_urgent=True)
        return token

    async def _row_to_start(
        self,
        session: AsyncSession,
        caller: Caller,
        token: UUID,
        wanted: NewResize,
        task_id: UUID,
        *,
        blob_id: UUID | None,
    ) -> Resize | None:
        """A row that is `pending` now; None when there is an answer already, or work under way."""
        found = await queries.lock_resize(session, token)
        if found is not None:
            row, is_over = found
            if row.state in queries.UNFINISHED or (row.state in ("success", "rejected") and not is_over):
                return None
        if await queries.count_unfinished(session, caller.user_id) >= self._settings.resize_max_unfinished:
            raise TooManyResizes(f"{self._settings.resize_max_unfinished} of this account wait: no more at once.")
        if found is None:
            return Resize(token=token, owner_id=caller.user_id, task_id=task_id, state="pending", format=wanted.format)
        await queries.drop_dead_letter(session, row.task_id, blob_id=blob_id)
        row.task_id, row.state, row.problem, row.created_at, row.expires_at = task_id, "pending", None, func.now(), None
        row.width = row.height = row.sha256 = row.bytes = None
        return row

    async def status(self, caller: Caller, token: UUID) -> ResizeOut:
        """Raises Forbidden, ResizeNotFound, ResizeExpired."""
        row = await self._row(caller, token)
        return ResizeOut(
            token=token,
            status=STATUS[row["state"]],
            resized_image_url=f"/v1/resizes/{token}/result" if row["key"] else None,
            error=ResizeProblem(**row["problem"]) if row["problem"] else None,
            **{name: row[name] for name in ("format", "width", "height", "bytes", "created_at", "expires_at")},
        )

    async def result(self, caller: Caller, token: UUID) -> Row:
        """Key, hash, size and format. Raises as ``status`` does, and NoResult."""
        row = await self._row(caller, token)
        if row["key"] is None:
            raise NoResult(f"The resize is `{STATUS[row['state']]}`.")
        return row

    async def _row(self, caller: Caller, token: UUID) -> Row:
        caller.require("read")
        row = await self._database.fetch_row(queries.RESIZE_OF, caller.user_id, token)
        if row is None:
            raise ResizeNotFound
        if row["expired"]:
            raise ResizeExpired
        return row


def token_of(owner_id: UUID, sha256: bytes, wanted: NewResize) -> UUID:
    """The same for the same owner, content and parameters, however they were sent."""
    asked = wanted.work
    return uuid5(
        NAMESPACE,
        f"{owner_id}:{sha256.hex()}:{asked.width}x{asked.height}:{asked.fit}:{asked.format}:{asked.quality}",
    )
