"""Task handlers that process images: they derive facts and renditions of a blob, then write them in one transaction.

The sandbox runs before the transaction, and the renditions are stored under held keys (``derive.py``). The transaction
locks the blob, checks that it is still the one that was read, takes the keys over and ends the task. A check that
finds zero rows rolls all of it back. For a new picture it is one database function (``finish_processing.py``).
"""

import dataclasses
from collections.abc import Collection, Sequence
from typing import cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import func, insert, update
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.db import Database
from imagesvc.images import processing_problems, queries
from imagesvc.images.derive import Derived, Deriver, SourceMissing, StoredFile
from imagesvc.images.finish_processing import finish_processing, metadata_columns, pixel_columns
from imagesvc.images.models import Blob, Image, Rendition
from imagesvc.images.queries import SourceBlob
from imagesvc.images.retry import retry_processing
from imagesvc.images.store_time_zone import capture_offset
from imagesvc.processing.contract import EAGER_RENDITIONS, Format, Preset, Rejected, Work
from imagesvc.processing.facts import Facts
from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from imagesvc.storage import loose_objects
from imagesvc.storage.bucket import Storage
from imagesvc.tasks import leases
from imagesvc.tasks.leases import Lease
from imagesvc.tasks.runner import RetryTask
from imagesvc.uploads.models import Upload


class ReprocessPayload(BaseModel):
    """The payload of a task ``reprocess``: the parts to derive again, and the state of the chosen blobs."""

    model_config = ConfigDict(frozen=True)

    parts: frozenset[str]
    state: str


class ImageProcessor:
    def __init__(self, settings: Settings, database: Database, storage: Storage, sandbox: Sandbox) -> None:
        self._database = database
        self._sessions = database.sessions
        self._deriver = Deriver(settings, database, storage, sandbox, key_prefix="r")

    async def process_image(self, lease: Lease) -> None:
        """Process the blob unless another image's task has done so, and end the image's `pending` state."""
        blob = await self._blob(lease)
        result: Derived | Rejected | None = None
        if blob.state == "pending" and blob.has_image:  # otherwise decoding would be wasted
            result = await self._derive(blob, Work())
            if await finish_processing(self._database, lease, blob, result):
                return
        async with self._sessions.begin() as session:
            current = await _lock_blob(session, lease)
            image = await queries.lock_image(session, lease.image_id)
            is_used = image is not None and current.state == "pending"
            if is_used:
                if result is None or current.key != blob.key:
                    raise RetryTask("content-changed")
                await _write_result(session, current, result)
            await session.flush()
            if image is not None:
                await _end_processing(session, image, current)
            await _end_task(session, lease, current, result, is_used=is_used, is_referenced=image is not None)

    async def make_rendition(self, lease: Lease) -> None:
        """Make the one rendition that a request asked for."""
        wanted = cast("tuple[Preset, Format]", (lease.payload["preset"], lease.payload["format"]))
        blob = await self._blob(lease)
        result: Derived | Rejected | None = None
        if blob.state == "ready":
            work = Work(facts=False, score=False, renditions=(wanted,))
            result = await self._derive(blob, work)
        async with self._sessions.begin() as session:
            current = await _lock_blob(session, lease)
            is_used = await session.get(Rendition, (current.id, *wanted)) is None
            if is_used:
                await _add_renditions(session, current.id, _files(result))
            await _end_task(session, lease, current, result, is_used=is_used)

    async def reprocess(self, lease: Lease) -> None:
        """Derive the ``parts`` of a blob that the task names again, with the current code.

        A task for `failed` or `rejected` blobs makes the blob and its images pending again instead.
        """
        wanted = ReprocessPayload.model_validate(lease.payload)
        parts, state = wanted.parts, wanted.state
        blob = await self._blob(lease)
        derived = await self._derive_again(blob, parts) if blob.state == state == "ready" else None
        async with self._sessions.begin() as session:
            current = await _lock_blob(session, lease)
            replaced: list[str] = []
            is_used = derived is not None and current.state == state
            if derived is not None and is_used:
                replaced = await _replace_parts(session, current, derived, parts)
            elif state != "ready":
                await retry_processing(session, current.id, states=(state,))
            await session.flush()
            await _end_task(session, lease, current, derived, is_used=is_used)
            await loose_objects.disown(session, replaced)

    async def fail_image(self, session: AsyncSession, lease: Lease, error: RetryTask) -> None:
        """Called after the last attempt: set blob and image to `failed`, with the reason as their problem."""
        blob = await _lock_blob(session, lease)
        problem = processing_problems.failure(error.reason)
        if blob.state == "pending" and error.key in (None, blob.key):
            blob.state, blob.problem, blob.processed_at = "failed", problem, func.now()
            await session.flush()
        image = await queries.lock_image(session, lease.image_id)
        if image is not None and image.state == "pending":
            image.state, image.problem, image.updated_at = "failed", problem, func.now()
        await _settle_uploads(session, lease.image_id)

    async def _blob(self, lease: Lease) -> SourceBlob:
        return await self._database.fetch_one(queries.SOURCE_BLOB, SourceBlob, _blob_id(lease), lease.image_id)

    async def _derive(self, blob: SourceBlob, work: Work) -> Derived | Rejected:
        """Raises RetryTask."""
        try:
            return await self._deriver.derive(blob.key, work, log_fields={"blob_id": str(blob.id)})
        except SourceMissing:
            await self._mark_object_lost(blob)
            raise

    async def _derive_again(self, blob: SourceBlob, parts: Collection[str]) -> Derived:
        renditions = EAGER_RENDITIONS if "renditions" in parts else ()
        work = Work(facts="metadata" in parts, score="score" in parts, renditions=renditions)
        result = await self._derive(blob, work)
        if isinstance(result, Rejected):
            # the file was accepted before, so the new verdict needs a person's decision: a dead letter
            raise RetryTask(result.slug, at_most=1)
        return result

    async def _mark_object_lost(self, blob: SourceBlob) -> None:
        """Lets the next upload of this content store a new object."""
        async with self._sessions.begin() as session:
            await session.execute(update(Blob).where(Blob.id == blob.id, Blob.key == blob.key).values(object_lost=True))


def _blob_id(lease: Lease) -> UUID:
    assert lease.blob_id is not None  # noqa: S101 - all kinds of task here carry one
    return lease.blob_id


async def _lock_blob(session: AsyncSession, lease: Lease) -> Blob:
    blob = await queries.lock_blob(session, _blob_id(lease))
    assert blob is not None  # noqa: S101 - the task refers to it, so it cannot be deleted
    return blob


def _files(result: Derived | Rejected | None) -> Sequence[StoredFile]:
    return result.files if isinstance(result, Derived) else ()


async def _write_result(session: AsyncSession, blob: Blob, result: Derived | Rejected) -> None:
    if isinstance(result, Rejected):
        _reject(blob, result)
        return
    _write_facts(blob, result.facts)
    await queries.save_perceptual_hash(session, blob)
    await _add_renditions(session, blob.id, result.files)


async def _replace_parts(session: AsyncSession, blob: Blob, derived: Derived, parts: Collection[str]) -> list[str]:
    """Returns the keys of the old renditions, which nothing owns anymore."""
    replaced: list[str] = []
    if derived.facts is not None:
        _write_facts(blob, derived.facts, parts=parts)
        await queries.save_perceptual_hash(session, blob)
    if "renditions" in parts:
        replaced = await queries.delete_renditions(session, blob.id)
        await _add_renditions(session, blob.id, derived.files)
    for image in await queries.lock_images_of_blob(session, blob.id, state="ready"):
        await _copy_facts(session, image, blob)
    return replaced


async def _end_task(
    session: AsyncSession,
    lease: Lease,
    blob: Blob,
    result: Derived | Rejected | None,
    *,
    is_used: bool,
    is_referenced: bool = False,
) -> None:
    """End the task, delete the blob if the task was its last reference, and take the new keys over or give them up.

    With ``is_referenced`` the caller holds the lock of an image of the blob, so the blob stays and is not checked.
    The loose objects are last in the lock order.
    """
    await leases.finish(session, lease)
    unowned = [] if is_referenced else await queries.delete_unreferenced_blobs(session, [blob.id])
    if isinstance(result, Derived) and result.files:
        await (loose_objects.take if is_used else loose_objects.release)(session, result.keys)
    # afterwards: a blob that is deleted here gives up the new keys too
    await loose_objects.disown(session, unowned)


async def _add_renditions(session: AsyncSession, blob_id: UUID, files: Sequence[StoredFile]) -> None:
    if files:
        await session.execute(insert(Rendition), [{"blob_id": blob_id, **dataclasses.asdict(file)} for file in files])


def _reject(blob: Blob, rejected: Rejected) -> None:
    if rejected.facts is not None:
        _write_facts(blob, rejected.facts)
    blob.state, blob.processed_at = "rejected", func.now()
    blob.problem = processing_problems.rejection(rejected.slug, rejected.detail)


def _write_facts(blob: Blob, facts: Facts | None, *, parts: Collection[str] = ("metadata", "score")) -> None:
    assert facts is not None  # noqa: S101 - the request asked for them
    columns = (metadata_columns(facts) if "metadata" in parts else {}) | (
        pixel_columns(facts) if "score" in parts else {}
    )
    for name, value in columns.items():
        setattr(blob, name, value)
    blob.state, blob.processed_at = "ready", func.now()


async def _end_processing(session: AsyncSession, image: Image, blob: Blob) -> None:
    """Give the image the final state of its blob."""
    image.state, image.problem, image.updated_at = blob.state, blob.problem, func.now()
    await _copy_facts(session, image, blob)
    await _settle_uploads(session, image.id)


async def _copy_facts(session: AsyncSession, image: Image, blob: Blob) -> None:
    """Update the image's columns that repeat the blob's, and the capture time, which depends on the image's stores."""
    image.media_type, image.camera = blob.media_type, blob.camera
    image.score = blob.score["value"] if blob.score else -1
    image.latitude, image.longitude = blob.latitude, blob.longitude
    local, source = blob.captured_local, blob.captured_offset_source
    zone = await queries.store_time_zone(session, image.id) if local is not None and source != "exif" else None
    offset = capture_offset(local, blob.captured_offset_minutes, source, zone=zone)
    image.captured_local, image.captured_utc = local, offset.utc(local)
    image.captured_offset_minutes, image.captured_offset_source = offset.minutes, offset.source
    if session.is_modified(image):
        image.updated_at = func.now()
    await session.flush()


async def _settle_uploads(session: AsyncSession, image_id: UUID | None) -> None:
    """Let the receipts of the image's uploads show how processing ended."""
    await session.execute(
        update(Upload).where(Upload.image_id == image_id, Upload.settled.is_(False)).values(settled=True)
    )
