"""Statements about images and blobs. A statement on behalf of a caller takes the caller (the id, and whether an admin).

The reads are single prebuilt statements with their lists aggregated by the database: one round trip an answer.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.accounts.service import Caller
from imagesvc.images.models import Blob, Image, PerceptualHash, Rendition, Share
from imagesvc.stores.models import Store
from imagesvc.tasks.models import Task
from imagesvc.uploads.models import Upload

MAX_UPLOADS = 100
"""How many of an image's uploads its answer shows, the newest first."""

IMAGE = """
    -- $1 the caller's id or NULL, $2 whether an admin
    SELECT i.id, i.owner_id, i.xmin::text AS version, i.state, i.problem, i.visibility, i.title, i.description,
        i.created_at, i.media_type,
        i.captured_local, i.captured_offset_minutes, i.captured_offset_source, i.captured_utc,
        b.id AS blob_id, b.sha256, b.bytes, b.width, b.height, b.stored_width, b.stored_height, b.orientation, b.frames,
        b.color_mode, b.has_icc_profile, b.camera_make, b.camera_model, b.lens, b.f_number, b.exposure_seconds, b.iso,
        b.focal_length_mm, b.latitude, b.longitude, b.altitude_m, b.perceptual_hash, b.score, b.notes,
        (SELECT json_agg(json_build_array(r.preset, r.format, r.width, r.height, r.bytes)
                         ORDER BY r.width, array_position('{thumb,medium,large,full}', r.preset), r.format)
         FROM renditions r WHERE r.blob_id = b.id) AS renditions,
        (SELECT json_agg(u) FROM (
            SELECT id, received_at, way, filename, duplicate, link_id, batch_id, captured_at,
                   store_id, store_name, camera_id, barcode
            FROM uploads WHERE image_id = i.id AND ($2 OR i.owner_id = $1) ORDER BY id DESC LIMIT {most}
         ) u) AS uploads
    FROM images i JOIN blobs b ON b.id = i.blob_id
""".replace("{most}", str(MAX_UPLOADS))

IS_THERE = "NOT EXISTS (SELECT FROM users gone WHERE gone.id = i.owner_id AND gone.deleted_at IS NOT NULL)"
"""What belongs to an account that is being removed is gone for everybody, although its rows go in the background."""

IMAGE_FOR_READER = IMAGE + f"WHERE i.id = $3 AND ($2 OR i.owner_id = $1 OR i.visibility = 'public') AND {IS_THERE}"
"""$1 the caller's id or NULL, $2 whether an admin, $3 the image. ``version`` changes with every change of the row."""

CHANGE_IMAGE = """
    -- $1 caller, $2 admin, $3 image, $4 the version it must have (NULL: any), $5 what changes
    UPDATE images AS i SET updated_at = now(),
        title = CASE WHEN $5::jsonb ? 'title' THEN $5 ->> 'title' ELSE i.title END,
        description = CASE WHEN $5 ? 'description' THEN $5 ->> 'description' ELSE i.description END,
        visibility = CASE WHEN $5 ? 'visibility' THEN $5 ->> 'visibility' ELSE i.visibility END
    WHERE i.id = $3 AND ($2 OR i.owner_id = $1) AND ($4::text IS NULL OR i.xmin::text = $4) RETURNING i.id
"""

UPLOAD_OF = """
    SELECT id, image_id, received_at, way, filename, bytes, duplicate, link_id, batch_id, captured_at,
           store_id, store_name, camera_id, barcode
    FROM uploads WHERE id = $3 AND ($2 OR owner_id = $1)
"""

ORIGINAL_OF = """
    SELECT b.key, b.sha256, b.bytes, b.media_type, b.object_lost, i.title,
           (SELECT u.filename FROM uploads u WHERE u.image_id = i.id ORDER BY u.id LIMIT 1) AS filename
    FROM images i JOIN blobs b ON b.id = i.blob_id WHERE i.id = $3 AND ($2 OR i.owner_id = $1) AND {there}
""".replace("{there}", IS_THERE)

RENDITION_FOR_READER = """
    -- of a pending image none yet, whoever else has the same picture
    SELECT i.id AS image_id, i.state, i.visibility, i.blob_id, r.key, r.sha256, r.bytes
    FROM images i
    LEFT JOIN renditions r ON r.blob_id = i.blob_id AND r.preset = $4 AND r.format = $5 AND i.state <> 'pending'
    WHERE i.id = $3 AND ($2 OR i.owner_id = $1 OR i.visibility = 'public') AND {there}
""".replace("{there}", IS_THERE)

ASK_FOR_RENDITION = """
    -- one unfinished task a rendition, whoever asks; a blob that is gone meanwhile gives no row
    INSERT INTO tasks (id, kind, blob_id, payload, dedupe_key)
    SELECT $1, 'make_rendition', b.id, jsonb_build_object('preset', $3::text, 'format', $4::text), $5
    FROM blobs b WHERE b.id = $2 FOR KEY SHARE
    ON CONFLICT (dedupe_key) DO NOTHING RETURNING id
"""

RECEIPT = """
    -- what a link's uploader may know about a file that came through this link: $1 the link, $2 the upload
    SELECT u.id, u.filename, u.bytes, u.received_at, u.duplicate, i.blob_id,
           CASE WHEN u.settled THEN i.state ELSE 'pending' END AS state,
           CASE WHEN u.settled THEN i.problem END AS problem,
           CASE WHEN u.settled THEN b.score END AS score
    FROM uploads u JOIN images i ON i.id = u.image_id JOIN blobs b ON b.id = i.blob_id
    WHERE u.id = $2 AND u.link_id = $1
"""

RECEIPT_THUMB = """
    SELECT r.key, r.sha256, r.bytes FROM uploads u JOIN images i ON i.id = u.image_id
    JOIN renditions r ON r.blob_id = i.blob_id AND r.preset = 'thumb' AND r.format = 'webp'
    WHERE u.id = $2 AND u.link_id = $1 AND u.settled AND i.state = 'ready'
"""


async def blob_of_image(session: AsyncSession, caller: Caller, image_id: UUID) -> UUID | None:
    """The blob of an image that the caller may change."""
    query = select(Image.blob_id).where(Image.id == image_id)
    if not caller.is_admin:
        query = query.where(Image.owner_id == caller.user_id)
    return (await session.execute(query)).scalar_one_or_none()


async def lock_blob(session: AsyncSession, blob_id: UUID) -> Blob | None:
    """FOR UPDATE: keeps uploads of this content, and whoever would refer to it, out until the end."""
    return (await session.execute(select(Blob).where(Blob.id == blob_id).with_for_update())).scalar_one_or_none()


async def lock_image(session: AsyncSession, image_id: UUID | None) -> Image | None:
    return (await session.execute(select(Image).where(Image.id == image_id).with_for_update())).scalar_one_or_none()


async def save_perceptual_hash(session: AsyncSession, blob: Blob) -> None:
    """Where near-duplicates are looked for, of a blob that is locked and has its facts."""
    if blob.perceptual_hash is None:
        await session.execute(delete(PerceptualHash).where(PerceptualHash.blob_id == blob.id))
        return
    row = insert(PerceptualHash).values(blob_id=blob.id, hash=blob.perceptual_hash)
    await session.execute(row.on_conflict_do_update(index_elements=["blob_id"], set_={"hash": row.excluded.hash}))


async def store_time_zone(session: AsyncSession, image_id: UUID) -> str | None:
    """Of the first of an image's uploads that came from a store whose time zone is known."""
    zones = select(Store.time_zone).join(Upload, Upload.store_id == Store.id)
    first = zones.where(Upload.image_id == image_id, Store.time_zone.is_not(None)).order_by(Upload.id).limit(1)
    return (await session.execute(first)).scalar_one_or_none()


async def lock_images_of_blob(session: AsyncSession, blob_id: UUID, *, state: str) -> Sequence[Image]:
    query = select(Image).where(Image.blob_id == blob_id, Image.state == state).order_by(Image.id).with_for_update()
    return (await session.execute(query)).scalars().all()


async def delete_renditions(session: AsyncSession, blob_id: UUID) -> list[str]:
    """Of a blob that is locked; returns the keys that nothing owns any more."""
    gone = delete(Rendition).where(Rendition.blob_id == blob_id).returning(Rendition.key)
    return list((await session.execute(gone)).scalars())


async def version_of_image(session: AsyncSession, image_id: UUID) -> str:
    """The ``version`` of the reads, of a row that is locked."""
    statement = text("SELECT xmin::text FROM images WHERE id = :image")
    return str((await session.execute(statement, {"image": image_id})).scalar_one())


async def lock_some_images_of(session: AsyncSession, owner_id: UUID, *, most: int) -> tuple[list[UUID], list[UUID]]:
    """Images of an owner that are locked now, and their blobs: all blobs first, in the order of their ids."""
    some = select(Image.id, Image.blob_id).where(Image.owner_id == owner_id).limit(most)
    found = (await session.execute(some)).all()
    blob_ids = sorted({row.blob_id for row in found})
    await session.execute(select(Blob.id).where(Blob.id.in_(blob_ids)).order_by(Blob.id).with_for_update())
    images = select(Image.id).where(Image.id.in_([row.id for row in found])).order_by(Image.id).with_for_update()
    return list((await session.execute(images)).scalars()), blob_ids


async def delete_images(session: AsyncSession, image_ids: Sequence[UUID]) -> None:
    """Shares, uploads, dead letters and the rows themselves, which are locked.

    Unfinished tasks end by themselves and keep the blob until then.
    """
    await session.execute(delete(Share).where(Share.image_id.in_(image_ids)))
    await session.execute(delete(Upload).where(Upload.image_id.in_(image_ids)))
    await session.execute(delete(Task).where(Task.image_id.in_(image_ids), Task.state == "dead"))
    await session.execute(delete(Image).where(Image.id.in_(image_ids)))


def _refers_to(blob_id: Any) -> ColumnElement[bool]:
    return exists().where(Image.blob_id == blob_id) | exists().where(Task.blob_id == blob_id)


async def delete_blobs_nobody_needs(session: AsyncSession, blob_ids: Sequence[UUID]) -> list[str]:
    """Of these, which are locked, those that nothing refers to; returns the keys that nothing owns any more.

    It looks in a new statement, which sees what was committed while the locks were waited for.
    """
    unneeded = select(Blob.id).where(Blob.id.in_(blob_ids), ~_refers_to(Blob.id))
    free = (await session.execute(unneeded)).scalars().all()
    if not free:
        return []
    renditions = delete(Rendition).where(Rendition.blob_id.in_(free)).returning(Rendition.key)
    keys = list((await session.execute(renditions)).scalars())
    await session.execute(delete(PerceptualHash).where(PerceptualHash.blob_id.in_(free)))
    keys += (await session.execute(delete(Blob).where(Blob.id.in_(free)).returning(Blob.key))).scalars()
    return keys
