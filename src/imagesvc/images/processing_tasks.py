"""What the worker does with images: facts and renditions of a blob in the sandbox, then one transaction for the result.

Renditions are stored under held keys first; the result's transaction locks the blob, checks that it still is what was
read, takes the keys over and ends the task. Zero rows anywhere roll all of it back.
"""

import asyncio
import dataclasses
import datetime as dt
import time
from collections.abc import AsyncIterator, Collection, Sequence
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import structlog
from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.db import Database
from imagesvc.images import processing_problems, queries
from imagesvc.images.models import Blob, Image, Rendition
from imagesvc.images.retry import retry_processing
from imagesvc.images.store_time_zone import offset_minutes
from imagesvc.metrics.instruments import count_sandbox_run
from imagesvc.processing.contract import (
    EAGER_RENDITIONS,
    MEDIA_TYPE_OF_FORMAT,
    Failed,
    Processed,
    Rejected,
    RenditionFile,
    Work,
)
from imagesvc.processing.facts import Facts
from imagesvc.processing.sandbox import Sandbox
from imagesvc.settings import Settings
from imagesvc.storage import loose_objects
from imagesvc.storage.bucket import ObjectGone, Storage, new_key
from imagesvc.tasks import leases
from imagesvc.tasks.leases import Lease
from imagesvc.tasks.runner import RetryTask
from imagesvc.uploads.models import Upload

log = structlog.get_logger(__name__)

SANDBOX_ATTEMPTS = 2
"""A decoder that crashed or hung mostly does so again; once more is for a machine that was short of memory."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredRenditionFile:
    """A rendition under a held key."""

    preset: str
    format: str
    width: int
    height: int
    key: str
    sha256: bytes
    bytes: int


class ImageProcessor:
    def __init__(self, settings: Settings, database: Database, storage: Storage, sandbox: Sandbox) -> None:
        self._settings = settings
        self._sessions = database.sessions
        self._storage = storage
        self._sandbox = sandbox

    async def process_image(self, lease: Lease) -> None:
        """Make sure that the blob is processed, and move the image out of `pending` accordingly."""
        blob = await self._blob(lease)
        outcome: Processed | Rejected | None = None
        stored: list[StoredRenditionFile] = []
        if blob.state == "pending" and await self._is_wanted(lease):
            outcome, stored = await self._develop(blob, Work())
        async with self._sessions.begin() as session:
            now = await queries.lock_blob(session, blob.id)
            assert now is not None  # noqa: S101 - our task refers to it
            image = await queries.lock_image(session, lease.image_id)
            if image is not None and now.state == "pending":
                if outcome is None or now.key != blob.key:
                    raise RetryTask("content-changed")
                if isinstance(outcome, Rejected):
                    _reject(now, outcome)
                else:
                    _state_facts(now, outcome.facts)
                    await queries.keep_hash(session, now)
                    await _add_renditions(session, now.id, stored)
            else:
                await loose_objects.release(session, [rendition.key for rendition in stored])
                stored = []
            await session.flush()
            if image is not None:
                await _resolve(session, image, now)
            await self._end(session, lease, now, [rendition.key for rendition in stored])

    async def make_rendition(self, lease: Lease) -> None:
        """One rendition on request."""
        wanted = (str(lease.payload["preset"]), str(lease.payload["format"]))
        blob = await self._blob(lease)
        stored: list[StoredRenditionFile] = []
        if blob.state == "ready":
            work = Work.model_validate({"facts": False, "score": False, "renditions": [wanted]})
            _, stored = await self._develop(blob, work)
        async with self._sessions.begin() as session:
            now = await queries.lock_blob(session, blob.id)
            assert now is not None  # noqa: S101 - our task refers to it
            there = await session.get(Rendition, (now.id, *wanted))
            if there is None:
                await _add_renditions(session, now.id, stored)
            else:
                await loose_objects.release(session, [rendition.key for rendition in stored])
                stored = []
            await self._end(session, lease, now, [rendition.key for rendition in stored])

    async def redo(self, lease: Lease) -> None:
        """What is told of a blob, made anew by today's code: those ``parts`` that the task names.

        A blob that has `failed` or was `rejected`, where that is what the task is for, is processed as if it were new.
        """
        parts, state = frozenset(lease.payload["parts"]), lease.payload["state"]
        blob = await self._blob(lease)
        outcome: Processed | Rejected | None = None
        stored: list[StoredRenditionFile] = []
        if blob.state == state == "ready":
            wanted = EAGER_RENDITIONS if "renditions" in parts else ()
            work = Work(facts="metadata" in parts, score="score" in parts, renditions=wanted)
            outcome, stored = await self._develop(blob, work)
            if isinstance(outcome, Rejected):
                # it was accepted once: that it is not today is for people to look at
                raise RetryTask(outcome.slug, at_most=1)
        async with self._sessions.begin() as session:
            now = await queries.lock_blob(session, blob.id)
            assert now is not None  # noqa: S101 - our task refers to it
            replaced: list[str] = []
            if now.state == state and outcome is not None:
                if outcome.facts is not None:
                    _state_facts(now, outcome.facts, parts=parts)
                    await queries.keep_hash(session, now)
                if "renditions" in parts:
                    replaced = await queries.delete_renditions(session, now.id)
                    await _add_renditions(session, now.id, stored)
                for image in await queries.lock_images_of_blob(session, now.id, state=state):
                    await _copy_facts(session, image, now)
            else:
                await loose_objects.release(session, [rendition.key for rendition in stored])
                stored = []
                if state != "ready":
                    await retry_processing(session, now.id, states=(state,))
            await session.flush()
            await self._end(session, lease, now, [rendition.key for rendition in stored])
            await loose_objects.disown(session, replaced)

    async def give_up_image(self, session: AsyncSession, lease: Lease, error: RetryTask) -> None:
        """The last attempt has failed: blob and image say so, and why."""
        blob = await queries.lock_blob(session, _blob_id(lease))
        assert blob is not None  # noqa: S101 - our task refers to it
        if blob.state == "pending" and error.key in (None, blob.key):
            blob.state, blob.problem, blob.processed_at = (
                "failed",
                processing_problems.failure(error.reason),
                func.now(),
            )
            await session.flush()
        image = await queries.lock_image(session, lease.image_id)
        if image is not None and image.state == "pending":
            image.state, image.problem, image.updated_at = (
                "failed",
                processing_problems.failure(error.reason),
                func.now(),
            )
        await _settle(session, lease.image_id)

    async def _is_wanted(self, lease: Lease) -> bool:
        """Whether the image is still there: for one that was deleted meanwhile nothing is decoded."""
        async with self._sessions() as session:
            return await session.get(Image, lease.image_id) is not None

    async def _blob(self, lease: Lease) -> Blob:
        async with self._sessions() as session:
            return (await session.execute(select(Blob).where(Blob.id == _blob_id(lease)))).scalar_one()

    async def _develop(self, blob: Blob, work: Work) -> tuple[Processed | Rejected, list[StoredRenditionFile]]:
        """Runs the sandbox and stores what comes out. Raises TryLater when that is our failure and not the file's."""
        async with self._sandbox.scratch() as folder:
            try:
                await write_chunks(folder / "original", self._storage.read(blob.key))
            except ObjectGone as error:
                await self._mark_lost(blob)
                raise RetryTask("object-lost", at_most=1, key=blob.key) from error
            outcome = await self._sandbox.run(work, folder)
            count_sandbox_run(outcome.reason if isinstance(outcome, Failed) else type(outcome).__name__.lower())
            if isinstance(outcome, Failed):
                log.warning("sandbox failed", blob_id=str(blob.id), reason=outcome.reason, detail=outcome.detail)
                at_most = SANDBOX_ATTEMPTS if outcome.reason.startswith("decoder-") else None
                raise RetryTask(outcome.reason, at_most=at_most, key=blob.key)
            if isinstance(outcome, Rejected):
                return outcome, []
            return outcome, await self._store(outcome.renditions)

    async def _store(self, files: Sequence[RenditionFile]) -> list[StoredRenditionFile]:
        keys, begun = [new_key("r") for _ in files], time.monotonic()
        async with self._sessions.begin() as session:
            await loose_objects.hold(session, keys, seconds=self._settings.hold_seconds)
        until = loose_objects.hold_until(self._settings, since=begun)

        async def one(file: RenditionFile, key: str) -> StoredRenditionFile:
            body = await asyncio.to_thread(file.path.read_bytes)
            await self._storage.put(key, body, media_type=MEDIA_TYPE_OF_FORMAT[file.format], until=until)
            return StoredRenditionFile(
                preset=file.preset,
                format=file.format,
                width=file.width,
                height=file.height,
                key=key,
                sha256=sha256(body).digest(),
                bytes=len(body),
            )

        return list(await asyncio.gather(*(one(file, key) for file, key in zip(files, keys, strict=True))))

    async def _mark_lost(self, blob: Blob) -> None:
        """The next upload of this content brings a new object."""
        async with self._sessions.begin() as session:
            await session.execute(update(Blob).where(Blob.id == blob.id, Blob.key == blob.key).values(object_lost=True))

    async def _end(self, session: AsyncSession, lease: Lease, blob: Blob, keys: list[str]) -> None:
        """End the task; whoever ends the last reference frees the blob. Loose objects are locked last."""
        await leases.finish(session, lease)
        await loose_objects.disown(session, await queries.delete_blobs_nobody_needs(session, [blob.id]))
        if keys:
            await loose_objects.take(session, keys)


def _blob_id(lease: Lease) -> UUID:
    assert lease.blob_id is not None  # noqa: S101 - both kinds of task carry one
    return lease.blob_id


async def write_chunks(path: Path, chunks: AsyncIterator[bytes]) -> None:
    with await asyncio.to_thread(path.open, "wb") as file:
        async for chunk in chunks:
            await asyncio.to_thread(file.write, chunk)


async def _add_renditions(session: AsyncSession, blob_id: UUID, stored: list[StoredRenditionFile]) -> None:
    if stored:
        await session.execute(
            insert(Rendition), [{"blob_id": blob_id, **dataclasses.asdict(rendition)} for rendition in stored]
        )


def _reject(blob: Blob, verdict: Rejected) -> None:
    if verdict.facts is not None:
        _state_facts(blob, verdict.facts)
    blob.state, blob.processed_at = "rejected", func.now()
    blob.problem = processing_problems.rejection(verdict.slug, verdict.detail)


def _state_facts(blob: Blob, facts: Facts | None, *, parts: Collection[str] = ("metadata", "score")) -> None:
    assert facts is not None  # noqa: S101 - we asked for them
    if "metadata" in parts:
        _state_metadata(blob, facts)
    if "score" in parts:
        blob.score = facts.score
        if facts.perceptual_hash is not None:
            unsigned = int(facts.perceptual_hash, 16)
            blob.perceptual_hash = unsigned - 2**64 if unsigned >= 2**63 else unsigned
    blob.state, blob.processed_at = "ready", func.now()


def _state_metadata(blob: Blob, facts: Facts) -> None:
    names = set(Facts.model_fields) & set(Blob.__table__.columns.keys()) - {"perceptual_hash", "notes", "score"}
    for name in names:
        setattr(blob, name, getattr(facts, name))
    blob.camera_make, blob.camera_model = facts.make, facts.model
    blob.camera_make_raw, blob.camera_model_raw = facts.make_raw, facts.model_raw
    blob.captured_offset_source = facts.offset_source
    blob.notes = list(facts.notes) or None


async def _resolve(session: AsyncSession, image: Image, blob: Blob) -> None:
    """What processing has ended with for this image."""
    image.state, image.problem, image.updated_at = blob.state, blob.problem, func.now()
    await _copy_facts(session, image, blob)
    await _settle(session, image.id)


async def _copy_facts(session: AsyncSession, image: Image, blob: Blob) -> None:
    """What the image tells, from what the blob tells and from what belongs to the image alone."""
    image.media_type, image.camera = blob.media_type, blob.camera
    image.score = blob.score["value"] if blob.score else -1
    image.latitude, image.longitude = blob.latitude, blob.longitude
    local, offset, source = blob.captured_local, blob.captured_offset_minutes, blob.captured_offset_source
    if local is not None and offset is None and (zone := await queries.zone_of_stores(session, image.id)):
        offset = offset_minutes(zone, local)
        source = source if offset is None else "store"
    image.captured_local, image.captured_offset_minutes = local, offset
    image.captured_offset_source = (source or "unknown") if local else None
    if local is not None and offset is not None:
        image.captured_utc = local.replace(tzinfo=dt.timezone(dt.timedelta(minutes=offset)))
    if session.is_modified(image):
        image.updated_at = func.now()
    await session.flush()


async def _settle(session: AsyncSession, image_id: UUID | None) -> None:
    await session.execute(
        update(Upload).where(Upload.image_id == image_id, Upload.settled.is_(False)).values(settled=True)
    )
