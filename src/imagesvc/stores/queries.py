"""Statements about stores.

asyncpg (SQL text, frozen row classes) for writes: an import saves thousands of rows with one statement. The ORM for
reads.
"""

import dataclasses
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.stores.models import Store

_START_WALKS = """
    walks AS (
        -- stores whose time zone changed; a walk in progress starts again
        INSERT INTO time_zone_walks AS w (store_id)
        SELECT s.id FROM saved s LEFT JOIN before b ON b.id = s.id
        WHERE s.time_zone IS DISTINCT FROM b.time_zone
        ORDER BY s.id
        ON CONFLICT (store_id) DO UPDATE SET image_created_at = DEFAULT, image_id = DEFAULT, started_at = now()
    )
"""

PUT_STORE = f"""
    -- $1 id, $2 name, $3 area, $4 time zone
    WITH before AS (
        SELECT id, time_zone FROM stores WHERE id = $1
    ), saved AS (
        INSERT INTO stores (id, name, area, time_zone) VALUES ($1, $2, $3, $4)
        ON CONFLICT (id) DO UPDATE
        SET name = excluded.name, area = excluded.area, time_zone = excluded.time_zone, updated_at = now()
        RETURNING id, time_zone, (xmax = 0) AS is_new
    ), {_START_WALKS}
    SELECT is_new FROM saved
"""  # noqa: S608 - a constant

SAVE_STORES = f"""
    -- $1 ids, $2 names, $3 areas, $4 time zones, $5 whether the file has time zones. Unchanged rows are not written.
    WITH before AS (
        SELECT id, time_zone FROM stores WHERE id = ANY($1::text[])
    ), saved AS (
        INSERT INTO stores AS s (id, name, area, time_zone)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
        ON CONFLICT (id) DO UPDATE SET name = excluded.name, area = excluded.area, updated_at = now(),
            time_zone = CASE WHEN $5 THEN excluded.time_zone ELSE s.time_zone END
        WHERE (s.name, s.area) IS DISTINCT FROM (excluded.name, excluded.area)
           OR ($5 AND s.time_zone IS DISTINCT FROM excluded.time_zone)
        RETURNING id, time_zone, (xmax = 0) AS is_new
    ), {_START_WALKS}
    SELECT count(*) FILTER (WHERE is_new) AS created, count(*) FILTER (WHERE NOT is_new) AS updated FROM saved
"""  # noqa: S608 - a constant

IS_TIME_ZONE = "SELECT now() AT TIME ZONE $1::text"
"""Raises InvalidParameterValueError when the database does not know the time zone."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SavedStore:
    is_new: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SavedStores:
    created: int
    updated: int


async def store(session: AsyncSession, store_id: str) -> Store | None:
    return await session.get(Store, store_id)


async def page_of_stores(session: AsyncSession, *, area: str | None, after: str | None, limit: int) -> Sequence[Store]:
    """In the order of the ids."""
    query = select(Store).order_by(Store.id).limit(limit)
    if area is not None:
        query = query.where(Store.area == area)
    if after is not None:
        query = query.where(Store.id > after)
    return (await session.execute(query)).scalars().all()
