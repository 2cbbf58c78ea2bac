"""Statements about jobs. Those on behalf of a caller match the caller's own jobs, and all jobs for an admin.

asyncpg (SQL text, frozen row classes) for downloads and lists of images; the ORM, and SQL text in its sessions, for
everything else.
"""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Select, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import BigInteger, DateTime, Text, Uuid

from imagesvc.accounts.service import Caller
from imagesvc.jobs.models import Job


def _of(caller: Caller) -> Select[Job]:
    query = select(Job)
    return query if caller.is_admin else query.where(Job.owner_id == caller.user_id)


async def job_of(session: AsyncSession, caller: Caller, job_id: UUID) -> Job | None:
    return (await session.execute(_of(caller).where(Job.id == job_id))).scalar_one_or_none()


async def lock_job_of(session: AsyncSession, caller: Caller, job_id: UUID) -> Job | None:
    query = _of(caller).where(Job.id == job_id).with_for_update(key_share=True)
    return (await session.execute(query)).scalar_one_or_none()


async def page_of_jobs(session: AsyncSession, caller: Caller, *, before: UUID | None, limit: int) -> Sequence[Job]:
    """The newest first: ids are UUIDv7, which sort by time."""
    query = _of(caller).order_by(Job.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Job.id < before)
    return (await session.execute(query)).scalars().all()


INSERT_JOB = text("""
    INSERT INTO jobs (id, owner_id, total) VALUES (:job, :owner, :total) ON CONFLICT (id) DO NOTHING RETURNING id
""")
INSERT_VISITS = text("""
    INSERT INTO visits (id, job_id, position, store_id, visit_time)
    SELECT v.id, :job, v.n - 1, v.store_id, v.visit_time
    FROM unnest(:ids, :stores, :times) WITH ORDINALITY AS v (id, store_id, visit_time, n)
""").bindparams(
    bindparam("ids", type_=ARRAY(Uuid())),
    bindparam("stores", type_=ARRAY(Text())),
    bindparam("times", type_=ARRAY(DateTime(timezone=True))),
)
INSERT_IMAGES = text("""
    WITH inserted AS (
        INSERT INTO visit_images
            (id, visit_id, owner_id, store_id, visit_time, position, url, fetch_id, state, reason)
        SELECT i.id, i.visit_id, :owner, v.store_id, v.visit_time, i.position, i.url, i.fetch_id,
            CASE WHEN s.id IS NULL THEN 'failed' ELSE 'waiting' END, CASE WHEN s.id IS NULL THEN :unknown END
        FROM unnest(:ids, :visits, :positions, :urls, :fetches) AS i (id, visit_id, position, url, fetch_id)
        JOIN visits v ON v.id = i.visit_id LEFT JOIN stores s ON s.id = v.store_id
        RETURNING fetch_id, state
    ), inserted_tasks AS (
        INSERT INTO tasks (id, kind, turn_of)
        SELECT DISTINCT fetch_id, :kind, CAST(:job AS uuid) FROM inserted WHERE state = 'waiting'
    )
    SELECT count(*) FROM inserted WHERE state = 'failed'
""").bindparams(
    bindparam("ids", type_=ARRAY(Uuid())),
    bindparam("visits", type_=ARRAY(Uuid())),
    bindparam("positions", type_=ARRAY(BigInteger())),
    bindparam("urls", type_=ARRAY(Text())),
    bindparam("fetches", type_=ARRAY(Uuid())),
    bindparam("unknown", type_=Text()),
    bindparam("kind", type_=Text()),
)

ERRORS = """
    -- $1 job, $2 limit, $3 reason of an unknown store, which is listed once for its visit
    SELECT i.store_id, i.url, i.reason, count(*) OVER () AS total
    FROM visits v JOIN visit_images i ON i.visit_id = v.id
    WHERE v.job_id = $1 AND i.state = 'failed' AND (i.reason <> $3 OR i.position = 0)
    ORDER BY v.position, i.position LIMIT $2
"""
IMAGES = """
    -- $1 job, $2 and $3 positions of visit and image after which the page starts, $4 limit
    SELECT v.position AS visit, i.position, i.id AS upload_id, u.image_id, i.store_id, i.visit_time,
        i.url AS image_url, i.state, i.perimeter, i.score, round(i.seconds::numeric, 3)::float8 AS seconds, i.reason
    FROM visits v JOIN visit_images i ON i.visit_id = v.id LEFT JOIN uploads u ON u.id = i.id
    WHERE v.job_id = $1 AND v.position >= $2 AND (v.position, i.position) > ($2, $3)
    ORDER BY v.position, i.position LIMIT $4
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FailedImage:
    """A row of ERRORS. ``total`` is the number of rows without the limit."""

    store_id: str
    url: str
    reason: str
    total: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ListedImage:
    """A row of IMAGES. ``visit`` and ``position`` are its place in the request."""

    visit: int
    position: int
    upload_id: UUID
    image_id: UUID | None
    store_id: str
    visit_time: dt.datetime
    image_url: str
    state: str
    perimeter: int | None
    score: int | None
    seconds: float | None
    reason: str | None


PENDING_DOWNLOAD = """
    -- the URL of the task $1, and the images that wait for it; no row when no image waits any longer
    WITH waiting AS (
        SELECT i.*, s.name AS store_name FROM visit_images i LEFT JOIN stores s ON s.id = i.store_id
        WHERE i.fetch_id = $1 AND i.state = 'waiting' ORDER BY i.id
    ), one AS (SELECT * FROM waiting LIMIT 1)
    SELECT j.id AS job_id, j.owner_id, j.status = 'cancelled' OR o.disabled_at IS NOT NULL AS is_stopped, one.url,
        (SELECT array_agg(w.id ORDER BY w.id) FROM waiting w) AS upload_ids,
        (SELECT array_agg(w.store_id ORDER BY w.id) FROM waiting w) AS store_ids,
        (SELECT array_agg(w.store_name ORDER BY w.id) FROM waiting w) AS store_names,
        (SELECT array_agg(w.visit_time ORDER BY w.id) FROM waiting w) AS visit_times,
        (SELECT u.image_id FROM waiting w JOIN uploads u ON u.id = w.id ORDER BY w.id LIMIT 1) AS image_id,
        f.image_id AS known_image_id, f.etag, f.last_modified
    FROM one JOIN visits v ON v.id = one.visit_id JOIN jobs j ON j.id = v.job_id JOIN users o ON o.id = j.owner_id
    LEFT JOIN fetched_urls f ON f.owner_id = j.owner_id AND f.url_sha256 = sha256(convert_to(one.url, 'UTF8'))
        AND EXISTS (SELECT FROM images i JOIN blobs b ON b.id = i.blob_id
                    WHERE i.id = f.image_id AND i.state <> 'failed' AND b.state <> 'failed' AND NOT b.object_lost)
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PendingDownload:
    """A row of PENDING_DOWNLOAD. The lists have one element for each image that waits, in the same order.

    ``image_id`` is set when an earlier attempt has admitted the image. ``known_image_id``, ``etag`` and
    ``last_modified`` are of an earlier download of the same URL.
    """

    job_id: UUID
    owner_id: UUID
    is_stopped: bool
    url: str
    upload_ids: list[UUID]
    store_ids: list[str]
    store_names: list[str | None]
    visit_times: list[dt.datetime]
    image_id: UUID | None
    known_image_id: UUID | None
    etag: str | None
    last_modified: str | None


INSERT_UPLOADS = """
    -- Uploads of an image that the owner already has: $1 image, $2 owner, $3 ids, $4 stores, $5 store names, $6 times,
    -- $7 filename. No row when the image is deleted, or failed through our fault: then it has to be downloaded again.
    -- The image's lock orders this statement before or after the end of processing, which settles all uploads.
    WITH image AS MATERIALIZED (
        SELECT i.id, i.state, b.bytes FROM images i JOIN blobs b ON b.id = i.blob_id
        WHERE i.id = $1 AND i.owner_id = $2 AND i.state <> 'failed' AND b.state <> 'failed' AND NOT b.object_lost
        FOR NO KEY UPDATE OF i
    ), inserted AS (
        INSERT INTO uploads (id, owner_id, image_id, way, filename, bytes, duplicate, settled,
                             captured_at, store_id, store_name)
        SELECT a.id, $2, image.id, 'job', $7, image.bytes, true, image.state <> 'pending',
               a.visit_time, a.store_id, a.store_name
        FROM image, unnest($3::uuid[], $4::text[], $5::text[], $6::timestamptz[])
            AS a (id, store_id, store_name, visit_time)
        ON CONFLICT (id) DO NOTHING
    )
    SELECT id FROM image
"""

_MEASUREMENTS = text("""
    SELECT i.state, i.problem ->> 'type' AS problem, 2 * (b.width + b.height) AS perimeter,
           (b.score ->> 'value')::bigint AS score
    FROM images i JOIN blobs b ON b.id = i.blob_id WHERE i.id = :image
""")
_SAVE_VALIDATORS = text("""
    INSERT INTO fetched_urls (owner_id, url_sha256, image_id, etag, last_modified)
    SELECT i.owner_id, sha256(convert_to(:url, 'UTF8')), i.id, :etag, :last_modified
    FROM images i WHERE i.id = :image FOR KEY SHARE
    ON CONFLICT (owner_id, url_sha256) DO UPDATE
    SET image_id = excluded.image_id, etag = excluded.etag, last_modified = excluded.last_modified
""").bindparams(
    bindparam("url", type_=Text()), bindparam("etag", type_=Text()), bindparam("last_modified", type_=Text())
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """An image's state and what its job reports. ``problem`` is the type of the problem of a rejected image."""

    state: str
    problem: str | None
    perimeter: int | None
    score: int | None


async def measurements_of(session: AsyncSession, image_id: UUID) -> Measurements | None:
    row = (await session.execute(_MEASUREMENTS, {"image": image_id})).one_or_none()
    if row is None:
        return None
    return Measurements(state=row.state, problem=row.problem, perimeter=row.perimeter, score=row.score)


async def save_validators(
    session: AsyncSession, image_id: UUID, *, url: str, etag: str | None, last_modified: str | None
) -> None:
    """Keep what the host sent with an image of this URL, for the next job that has the URL."""
    validators = {"image": image_id, "url": url, "etag": etag, "last_modified": last_modified}
    await session.execute(_SAVE_VALIDATORS, validators)
