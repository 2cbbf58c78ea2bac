"""Accepts requests for resizes, and returns their status and results."""

import asyncio
import dataclasses
import time
from collections.abc import Mapping
from typing import Literal
from uuid import UUID, uuid5

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.accounts.errors import AccountGone
from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.http.public_path import public_path
from imagesvc.images.errors import ImageNotFound
from imagesvc.resizes import queries
from imagesvc.resizes.errors import NoResult, NotAResize, ResizeExpired, ResizeNotFound, TooManyResizes
from imagesvc.resizes.models import Resize, State
from imagesvc.resizes.queries import ResizeRow
from imagesvc.resizes.request_reader import ReadRequest
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
STATUS: Mapping[State, Literal["PENDING", "STARTED", "SUCCESS", "FAILURE"]] = {
    "pending": "PENDING",
    "started": "STARTED",
    "success": "SUCCESS",
    "rejected": "FAILURE",
    "failed": "FAILURE",
}
"""What the API calls the states; a resize that is `expired` is an error instead (410)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredResult:
    key: str
    sha256: bytes
    bytes: int
    format: str


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

    async def request(self, caller: Caller, read: ReadRequest, *, declared_bytes: int | None) -> UUID:
        """Start a resize, unless the same one is started or done already. Returns its token.

        Raises what ``read`` raises, Forbidden, NotAResize, NoFile, TooManyResizes, ImageNotFound, AccountGone, and the
        errors of receiving a file.
        """
        caller.require("upload")
        max_file_bytes = min(self._settings.resize_max_bytes, self._settings.max_file_bytes)
        source = UploadSource(owner_id=caller.user_id, way="user", max_file_bytes=max_file_bytes, batch_id=None)
        async with self._concurrency.enter(source, declared_bytes=declared_bytes):
            file = IncomingFile(self._keys, source, declared_bytes=None, max_bytes=declared_bytes)
            key: str | None = None
            try:
                wanted = await read(file.receive)
                self._require_valid(wanted, has_file=bool(file.sha256))
                if wanted.image_id is not None:
                    return await self._start(caller, wanted, wanted.image_id, key=None)
                token = token_of(caller.user_id, file.sha256, wanted)
                if await self._is_known(caller, token):
                    if file.key is not None:
                        await self._keys.release(file.key)
                    return token
                key = file.key or await self._store(file)
                return await self._start(caller, wanted, file.sha256, key=key)
            except BaseException:
                if abandoned := key or file.key:
                    await asyncio.shield(self._keys.release(abandoned))
                raise

    def _require_valid(self, wanted: NewResize, *, has_file: bool) -> None:
        if has_file and wanted.image_id is not None:
            detail = "Send a file or `image_id`, not both."
            raise NotAResize(detail, errors=[{"pointer": "/image_id", "detail": detail}])
        if not has_file and wanted.image_id is None:
            missing = {"pointer": "/image", "detail": "An image in base64, a `file` part or `image_id` is required."}
            raise NoFile("The request contains no image.", errors=[missing])
        max_side, sides = self._settings.resize_max_side, {"width": wanted.width, "height": wanted.height}
        detail = f"At most {max_side} pixels."
        if errors := [{"pointer": f"/{name}", "detail": detail} for name, side in sides.items() if side > max_side]:
            raise NotAResize(detail, errors=errors)

    async def _is_known(self, caller: Caller, token: UUID) -> bool:
        """Whether the same resize is started or done. Saves storing the file again for most repeated requests."""
        row = await self._database.fetch_one_or_none(queries.RESIZE_OF, ResizeRow, caller.user_id, token)
        return row is not None and not row.expired and row.state != "failed"

    async def _store(self, file: IncomingFile) -> str:
        """Store a small file under a new held key, and return the key."""
        key, started = new_key("z"), time.monotonic()
        async with self._database.sessions.begin() as session:
            await loose_objects.hold(session, [key], seconds=self._settings.hold_seconds)
        until = loose_objects.hold_until(self._settings, since=started)
        try:
            await self._storage.put(key, file.tail, media_type=file.media_type, until=until)
        except BaseException:
            await asyncio.shield(self._keys.release(key))
            raise
        return key

    async def _start(self, caller: Caller, wanted: NewResize, source: bytes | UUID, *, key: str | None) -> UUID:
        """Write row and task in one transaction, unless a concurrent request has done so. Returns the token.

        ``source`` is the hash of the stored file, or the id of an image.
        """
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
            payload = {"token": str(token), "work": dataclasses.asdict(wanted.work)}
            task = new_task(kind=KIND, blob_id=blob_id, payload=payload)
            row = await self._pending_row(session, caller, token, wanted, task.id, blob_id=blob_id)
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

    async def _pending_row(
        self,
        session: AsyncSession,
        caller: Caller,
        token: UUID,
        wanted: NewResize,
        task_id: UUID,
        *,
        blob_id: UUID | None,
    ) -> Resize | None:
        """Return a new row, or the existing one reset to `pending`; None when the resize is started or done.

        Raises TooManyResizes.
        """
        found = await queries.lock_resize(session, token)
        if found is not None:
            row, has_expired = found
            if row.state in queries.UNFINISHED or (row.state in ("success", "rejected") and not has_expired):
                return None
        max_unfinished = self._settings.resize_max_unfinished
        if await queries.count_unfinished(session, caller.user_id) >= max_unfinished:
            raise TooManyResizes(f"{max_unfinished} resizes of this account are not finished, which is the maximum.")
        if found is None:
            return Resize(token=token, owner_id=caller.user_id, task_id=task_id, state="pending", format=wanted.format)
        await queries.drop_dead_letter(session, row.task_id, blob_id=blob_id)
        row.task_id, row.state, row.problem, row.created_at, row.expires_at = task_id, "pending", None, func.now(), None
        row.width = row.height = row.sha256 = row.bytes = None
        return row

    async def status(self, caller: Caller, token: UUID) -> ResizeOut:
        """Return the status of a resize of the caller. Raises Forbidden, ResizeNotFound and ResizeExpired."""
        return _out(token, await self._row(caller, token))

    async def latest(self, caller: Caller, *, limit: int) -> list[ResizeOut]:
        """The caller's resizes, the newest first, without expired ones. Raises Forbidden."""
        caller.require("read")
        rows = await self._database.fetch_all(queries.LATEST_RESIZES, queries.ListedResize, caller.user_id, limit)
        return [_out(row.token, row) for row in rows]

    async def result(self, caller: Caller, token: UUID) -> StoredResult:
        """Return where the result is stored. Raises as ``status`` does, and NoResult."""
        row = await self._row(caller, token)
        if row.key is None or row.sha256 is None or row.bytes is None:
            raise NoResult(f"The resize is `{STATUS[row.state]}`.")
        return StoredResult(key=row.key, sha256=row.sha256, bytes=row.bytes, format=row.format)

    async def _row(self, caller: Caller, token: UUID) -> ResizeRow:
        caller.require("read")
        row = await self._database.fetch_one_or_none(queries.RESIZE_OF, ResizeRow, caller.user_id, token)
        if row is None:
            raise ResizeNotFound
        if row.expired:
            raise ResizeExpired
        return row


def _out(token: UUID, row: ResizeRow) -> ResizeOut:
    return ResizeOut(
        token=token,
        status=STATUS[row.state],
        resized_image_url=public_path(f"/v1/resizes/{token}/result") if row.key else None,
        error=ResizeProblem(**row.problem) if row.problem else None,
        format=row.format,
        width=row.width,
        height=row.height,
        bytes=row.bytes,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def token_of(owner_id: UUID, sha256: bytes, wanted: NewResize) -> UUID:
    """Return the token of a resize: a UUIDv5 of owner, content and parameters, however these were sent."""
    return uuid5(
        NAMESPACE,
        f"{owner_id}:{sha256.hex()}:{wanted.width}x{wanted.height}:{wanted.fit}:{wanted.format}:{wanted.quality}",
    )
