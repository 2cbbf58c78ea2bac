"""Updates the capture times of existing images after the time zone of their store was added, changed or removed.

The walk visits the uploads of one store in the order of their index, a bounded number per transaction, and its position
moves in the same transaction. Any worker can take the next step, and a crash loses none.

A task that processes an image reads the time zone after it has locked the image. So either it reads the new time zone,
or it has committed before the walk can lock the image, and the walk updates it.
"""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.db import Database
from imagesvc.images import queries
from imagesvc.images.models import Blob, Image
from imagesvc.images.store_time_zone import capture_offset
from imagesvc.stores.models import TimeZoneWalk

MAX_IMAGES = 200
"""Per transaction."""
MAX_EMPTY = 10_000

# most imported stores have no images yet
DELETE_EMPTY = text("""
    DELETE FROM time_zone_walks WHERE store_id IN (
        SELECT w.store_id FROM time_zone_walks w
        WHERE NOT EXISTS (SELECT FROM uploads u WHERE u.store_id = w.store_id)
        LIMIT :max FOR UPDATE SKIP LOCKED)
""")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Position:
    image_created_at: dt.datetime
    image_id: UUID


class TimeZoneWalks:
    def __init__(self, database: Database) -> None:
        self._sessions = database.sessions

    async def advance(self) -> int:
        """Take steps until MAX_IMAGES uploads were visited or no walk is left. Returns how many were visited."""
        async with self._sessions.begin() as session:
            await session.execute(DELETE_EMPTY, {"max": MAX_EMPTY})
        visited = 0
        while visited < MAX_IMAGES and (count := await self._step()) is not None:
            visited += count
        return visited

    async def _step(self) -> int | None:
        """One step of the oldest walk that no other worker has locked. None without a walk."""
        async with self._sessions.begin() as session:
            walk = await _lock_next(session)
            if walk is None:
                return None
            uploads = await _next_uploads(session, walk)
            if uploads:
                walk.image_created_at, walk.image_id = uploads[-1].image_created_at, uploads[-1].image_id
                await _update_images(session, sorted({upload.image_id for upload in uploads}))
            if len(uploads) < MAX_IMAGES:
                await session.delete(walk)
            return len(uploads)


async def _lock_next(session: AsyncSession) -> TimeZoneWalk | None:
    oldest = select(TimeZoneWalk).order_by(TimeZoneWalk.started_at, TimeZoneWalk.store_id).limit(1)
    return (await session.execute(oldest.with_for_update(skip_locked=True))).scalar_one_or_none()


async def _next_uploads(session: AsyncSession, walk: TimeZoneWalk) -> Sequence[_Position]:
    query = text("""
        SELECT image_created_at, image_id FROM uploads
        WHERE store_id = :store_id AND (image_created_at, image_id) > (
            SELECT image_created_at, image_id FROM time_zone_walks WHERE store_id = :store_id)
        ORDER BY image_created_at, image_id LIMIT :max
    """)
    rows = await session.execute(query, {"store_id": walk.store_id, "max": MAX_IMAGES})
    return [_Position(image_created_at=created_at, image_id=image_id) for created_at, image_id in rows]


async def _update_images(session: AsyncSession, image_ids: Sequence[UUID]) -> None:
    """Images that are not `ready` get their capture time when they are processed."""
    locked = (
        select(Image, Blob)
        .join(Blob, Blob.id == Image.blob_id)
        .where(Image.id.in_(image_ids), Image.state == "ready", Blob.captured_local.is_not(None))
        .order_by(Image.id)
        .with_for_update(of=Image)
    )
    pairs = (await session.execute(locked)).all()
    zones = await queries.store_time_zones(session, [image.id for image, _ in pairs])
    for image, blob in pairs:
        offset = capture_offset(
            blob.captured_local,
            blob.captured_offset_minutes,
            blob.captured_offset_source,
            zone=zones.get(image.id),
        )
        image.captured_offset_minutes, image.captured_offset_source = offset.minutes, offset.source
        image.captured_utc = offset.utc(blob.captured_local)
        if session.is_modified(image):
            image.updated_at = func.now()
