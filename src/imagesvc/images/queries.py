"""Statements that lock or change images and blobs.

asyncpg (SQL text, immutable row classes) for those that are one statement each; the ORM for everything else.
"""

import dataclasses
from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, exists, select, text
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.accounts.service import Caller
from imagesvc.images.models import Blob, Image, PerceptualHash, Rendition, Share
from imagesvc.stores.models import Store
from imagesvc.tasks.models import Task
from imagesvc.uploads.models import Upload

CHANGE_IMAGE = """
    -- $1 caller, $2 admin, $3 image, $4 the version it must have (NULL: any), $5 what changes
    UPDATE images AS i SET updated_at = now(),
        title = CASE WHEN $5::jsonb ? 'title' THEN $5 ->> 'title' ELSE i.title END,
        description = CASE WHEN $5 ? 'description' THEN $5 ->> 'description' ELSE i.description END,
        visibility = CASE WHEN $5 ? 'visibility' THEN $5 ->> 'visibility' ELSE i.visibility END
    WHERE i.id = $3 AND ($2 OR i.owner_id = $1) AND ($4::text IS NULL OR i.xmin::text = $4) RETURNING i.id
"""


SET_VISIBILITY = """
    -- $1 caller, $2 admin, $3 images, $4 visibility
    -- locked in the order of the ids, so that two requests cannot deadlock
    WITH wanted AS (
        SELECT id FROM images WHERE id = ANY($3) AND ($2 OR owner_id = $1) AND visibility <> $4
        ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE images i SET visibility = $4, updated_at = now() FROM wanted w WHERE i.id = w.id RETURNING i.id
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ChangedImage:
    """A row of CHANGE_IMAGE and SET_VISIBILITY."""

    id: UUID


REQUEST_RENDITION = """
    -- $1 id of the task, $2 blob, $3 preset, $4 format, $5 dedupe key
    -- One unfinished task per rendition. No row when there is one already, or when the blob was deleted meanwhile.
    INSERT INTO tasks (id, kind, blob_id, payload, dedupe_key)
    SELECT $1, 'make_rendition', b.id, jsonb_build_object('preset', $3::text, 'format', $4::text), $5
    FROM blobs b WHERE b.id = $2 FOR KEY SHARE
    ON CONFLICT (dedupe_key) DO NOTHING RETURNING id
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NewTaskRow:
    """A row of REQUEST_RENDITION."""

    id: UUID


async def blob_of_image(session: AsyncSession, caller: Caller, image_id: UUID) -> UUID | None:
    """Return the blob of an image that the caller may change."""
    query = select(Image.blob_id).where(Image.id == image_id)
    if not caller.is_admin:
        query = query.where(Image.owner_id == caller.user_id)
    return (await session.execute(query)).scalar_one_or_none()


async def lock_blob(session: AsyncSession, blob_id: UUID) -> Blob | None:
    """Lock FOR UPDATE: uploads of this content and new references to the blob wait until the transaction ends."""
    return (await session.execute(select(Blob).where(Blob.id == blob_id).with_for_update())).scalar_one_or_none()


async def lock_image(session: AsyncSession, image_id: UUID | None) -> Image | None:
    return (await session.execute(select(Image).where(Image.id == image_id).with_for_update())).scalar_one_or_none()


async def save_perceptual_hash(session: AsyncSession, blob: Blob) -> None:
    """Index the hash of a locked blob for the search of near-duplicates."""
    if blob.perceptual_hash is None:
        await session.execute(delete(PerceptualHash).where(PerceptualHash.blob_id == blob.id))
        return
    row = insert(PerceptualHash).values(blob_id=blob.id, hash=blob.perceptual_hash)
    await session.execute(row.on_conflict_do_update(index_elements=["blob_id"], set_={"hash": row.excluded.hash}))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SourceBlob:
    """The blob of a task, before its work. ``has_image`` is False when the image of the task was deleted."""

    id: UUID
    key: str
    state: str
    has_image: bool
    time_zone: str | None


SOURCE_BLOB = """
    -- $1 blob, $2 image; the time zone as in store_time_zone
    SELECT id, key, state, EXISTS (SELECT FROM images WHERE id = $2) AS has_image,
        (SELECT s.time_zone FROM uploads u JOIN stores s ON s.id = u.store_id
         WHERE u.image_id = $2 AND s.time_zone IS NOT NULL ORDER BY u.id LIMIT 1) AS time_zone
    FROM blobs WHERE id = $1
"""


async def store_time_zone(session: AsyncSession, image_id: UUID) -> str | None:
    """Return the time zone of the store of the image's first upload whose store has one."""
    zones = select(Store.time_zone).join(Upload, Upload.store_id == Store.id)
    first = zones.where(Upload.image_id == image_id, Store.time_zone.is_not(None)).order_by(Upload.id).limit(1)
    return (await session.execute(first)).scalar_one_or_none()


async def store_time_zones(session: AsyncSession, image_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Like ``store_time_zone``, for several images. Those without a time zone are missing."""
    zones = select(Upload.image_id, Store.time_zone).join(Store, Upload.store_id == Store.id)
    first = (
        zones.where(Upload.image_id.in_(image_ids), Store.time_zone.is_not(None))
        .order_by(Upload.image_id, Upload.id)
        .ext(distinct_on(Upload.image_id))
    )
    return {image_id: zone for image_id, zone in await session.execute(first) if zone is not None}


async def lock_images_of_blob(session: AsyncSession, blob_id: UUID, *, state: str) -> Sequence[Image]:
    query = select(Image).where(Image.blob_id == blob_id, Image.state == state).order_by(Image.id).with_for_update()
    return (await session.execute(query)).scalars().all()


async def delete_renditions(session: AsyncSession, blob_id: UUID) -> list[str]:
    """Delete the renditions of a locked blob. Returns their keys, which nothing owns anymore."""
    deleted = delete(Rendition).where(Rendition.blob_id == blob_id).returning(Rendition.key)
    return list((await session.execute(deleted)).scalars())


async def version_of_image(session: AsyncSession, image_id: UUID) -> str:
    """Return the ``version`` of a locked image, as in ``ImageRow``."""
    statement = text("SELECT xmin::text FROM images WHERE id = :image")
    return str((await session.execute(statement, {"image": image_id})).scalar_one())


async def lock_some_images_of(
    session: AsyncSession, owner_id: UUID, *, max_count: int
) -> tuple[list[UUID], list[UUID]]:
    """Lock images of an owner and their blobs: first all blobs, then all images, each in the order of their ids.

    Returns the ids of the images and of the blobs.
    """
    return await _lock_images(
        session, select(Image.id, Image.blob_id).where(Image.owner_id == owner_id).limit(max_count)
    )


async def lock_images_of_caller(
    session: AsyncSession, caller: Caller, image_ids: Collection[UUID]
) -> tuple[list[UUID], list[UUID]]:
    """Lock those of the images that the caller may change, as ``lock_some_images_of`` does."""
    wanted = select(Image.id, Image.blob_id).where(Image.id.in_(image_ids))
    if not caller.is_admin:
        wanted = wanted.where(Image.owner_id == caller.user_id)
    return await _lock_images(session, wanted)


async def _lock_images(session: AsyncSession, wanted: Select[UUID, UUID]) -> tuple[list[UUID], list[UUID]]:
    found = (await session.execute(wanted)).all()
    blob_ids = sorted({row.blob_id for row in found})
    await session.execute(select(Blob.id).where(Blob.id.in_(blob_ids)).order_by(Blob.id).with_for_update())
    images = select(Image.id).where(Image.id.in_([row.id for row in found])).order_by(Image.id).with_for_update()
    return list((await session.execute(images)).scalars()), blob_ids


async def delete_images(session: AsyncSession, image_ids: Sequence[UUID]) -> None:
    """Delete locked images with their shares, uploads and dead letters.

    Unfinished tasks keep the blob until they end.
    """
    await session.execute(delete(Share).where(Share.image_id.in_(image_ids)))
    await session.execute(delete(Upload).where(Upload.image_id.in_(image_ids)))
    await session.execute(delete(Task).where(Task.image_id.in_(image_ids), Task.state == "dead"))
    await session.execute(delete(Image).where(Image.id.in_(image_ids)))


def _is_referenced(blob_id: ColumnElement[UUID]) -> ColumnElement[bool]:
    return exists().where(Image.blob_id == blob_id) | exists().where(Task.blob_id == blob_id)


async def delete_unreferenced_blobs(session: AsyncSession, blob_ids: Sequence[UUID]) -> list[str]:
    """Delete those of the locked blobs that nothing refers to. Returns the keys that nothing owns anymore.

    The check is a statement of its own, so that it sees what was committed while this transaction waited for the locks.
    """
    unreferenced = select(Blob.id).where(Blob.id.in_(blob_ids), ~_is_referenced(Blob.id.expression))
    free = (await session.execute(unreferenced)).scalars().all()
    if not free:
        return []
    renditions = delete(Rendition).where(Rendition.blob_id.in_(free)).returning(Rendition.key)
    keys = list((await session.execute(renditions)).scalars())
    await session.execute(delete(PerceptualHash).where(PerceptualHash.blob_id.in_(free)))
    keys += (await session.execute(delete(Blob).where(Blob.id.in_(free)).returning(Blob.key))).scalars()
    return keys
