"""The statistics at ten thousand and at a million images, compared with counting the rows of the tables."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from bench.api import admin_client
from bench.programs import web
from bench.progress import log_progress
from bench.rounds import spread
from bench.servers import Servers
from imagesvc.stats.queries import REPORT

IMAGES = (10_000, 1_000_000)
UNFOLDED = 200
"""Images whose counts are appended and not yet folded: what a busy second brings."""
ROUNDS, READS = 5, 10
TARGET_MS = 5

FILL = f"""
SET session_replication_role = replica;  -- no triggers, no look at foreign keys: the counts are filled in below
CREATE TEMP TABLE drawn AS
SELECT n, gen_random_uuid() AS id, gen_random_uuid() AS blob_id, power(random(), 3) AS kind, random() AS device,
       now() - random() * interval '90 days' AS at, (random() * 4e6)::bigint AS bytes
FROM generate_series(1, $images) AS n;
INSERT INTO blobs (id, sha256, scope, bytes, media_type, key, state)
SELECT blob_id, sha256(n::text::bytea), '{"0" * 32}', bytes, 'image/jpeg', 'o/' || n, 'ready' FROM drawn;
INSERT INTO images (id, owner_id, blob_id, state, title, created_at, media_type, camera)
SELECT id, (SELECT id FROM users LIMIT 1), blob_id, CASE WHEN n % 50 = 0 THEN 'rejected' ELSE 'ready' END, 'a', at,
       'image/' || (ARRAY['jpeg', 'heic', 'png', 'webp', 'gif', 'tiff'])[1 + floor(kind * 6)::int],
       CASE WHEN device < 0.9 THEN 'Camera ' || floor(device * device * 300) END
FROM drawn;
INSERT INTO uploads (id, owner_id, image_id, way, filename, bytes, duplicate, settled, received_at)
SELECT gen_random_uuid(), (SELECT id FROM users LIMIT 1), id, 'user', 'a.jpg', bytes, false, true, at FROM drawn;
SET session_replication_role = origin;
INSERT INTO stats_counts (kind, name, count, bytes)
SELECT 'format', media_type, count(*), 0 FROM images WHERE state <> 'rejected' GROUP BY 2
UNION ALL SELECT 'camera', coalesce(camera, ''), count(*), 0 FROM images WHERE state <> 'rejected' GROUP BY 2
UNION ALL SELECT 'quarter', stats_quarter(u.received_at), count(*), 0 FROM uploads u JOIN images i ON i.id = u.image_id
    WHERE i.state <> 'rejected' GROUP BY 2
UNION ALL SELECT 'uploads', '', count(*), sum(u.bytes) FROM uploads u JOIN images i ON i.id = u.image_id
    WHERE i.state <> 'rejected'
UNION ALL SELECT 'blobs', media_type, count(*), sum(bytes) FROM blobs GROUP BY 2;
"""
APPEND = f"""
WITH drawn AS (
        SELECT gen_random_uuid() AS id, gen_random_uuid() AS blob_id, n FROM generate_series(1, {UNFOLDED}) AS n),
     stored AS (
        INSERT INTO blobs (id, sha256, scope, bytes, media_type, key)
        SELECT blob_id, sha256(('new ' || n)::bytea), '{"0" * 32}', 1000, 'image/jpeg', 'o/new/' || n FROM drawn)
INSERT INTO images (id, owner_id, blob_id, title, media_type)
SELECT id, (SELECT id FROM users LIMIT 1), blob_id, 'picture', 'image/jpeg' FROM drawn;
INSERT INTO uploads (id, owner_id, image_id, way, filename, bytes, duplicate, settled)
SELECT gen_random_uuid(), owner_id, id, 'user', 'a.jpg', 1000, false, false FROM images WHERE state = 'pending';
"""
COUNTED = """
SELECT
    (SELECT json_object_agg(media_type, count) FROM (
        SELECT media_type, count(*) FROM images WHERE state <> 'rejected' GROUP BY 1) f) AS formats,
    (SELECT json_agg(c) FROM (
        SELECT camera AS model, count(*) FROM images WHERE state <> 'rejected' AND camera IS NOT NULL
        GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10) c) AS cameras,
    (SELECT json_agg(d) FROM (
        SELECT (u.received_at AT TIME ZONE 'UTC')::date, count(*) FROM uploads u JOIN images i ON i.id = u.image_id
        WHERE i.state <> 'rejected' AND u.received_at > now() - interval '31 days' GROUP BY 1) d) AS uploads_per_day,
    t.*, b.*
FROM (SELECT count(DISTINCT i.id) AS images, count(*) AS uploads, sum(u.bytes)::bigint AS bytes_received
      FROM uploads u JOIN images i ON i.id = u.image_id WHERE i.state <> 'rejected') t,
     (SELECT count(*) AS blobs, sum(bytes)::bigint AS bytes_stored FROM blobs WHERE state <> 'rejected') b
"""
TOTALS = ("images", "uploads", "bytes_received", "blobs", "bytes_stored")


async def fill(connection: asyncpg.Connection, images: int) -> None:
    """Fill in images of 90 days, without the indexes that only searches use."""
    for index in await connection.fetch(
        "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND tablename IN ('images', 'uploads')"
        " AND indexname NOT LIKE '%key' AND indexname <> 'uploads_image_id_idx'"
    ):
        if not index["indexname"].endswith("_pkey"):
            await connection.execute(f"DROP INDEX {index['indexname']}")
    await connection.execute("SET work_mem = '128MB'")
    await connection.execute(FILL.replace("$images", str(images)))
    await connection.execute(APPEND)
    for table in ("blobs", "images", "uploads", "stats_counts", "stats_deltas"):
        await connection.execute(f"VACUUM ANALYZE {table}")


async def milliseconds(work: Callable[[], Awaitable[Any]]) -> float:
    started = time.perf_counter()
    await work()
    return (time.perf_counter() - started) * 1000


async def measured(servers: Servers, images: int) -> list[str]:
    """One row each for the report's statement, its route, and counting all rows."""
    log_progress(f"filling in {images:,} images")
    settings = await servers.new_settings(f"counts{images}")
    connection = await asyncpg.connect(servers.admin_url_of(settings), server_settings={"jit": "off"})
    try:
        await fill(connection, images)
        statement, route, counted = [], [], []
        async with web(settings, servers.folder / "web.log") as (url, _), admin_client(url, settings) as client:
            report = await connection.fetchrow(REPORT, 30, "UTC")
            found = await connection.fetchrow(COUNTED)
            if [report[name] for name in TOTALS] != [found[name] for name in TOTALS]:
                raise RuntimeError(f"the statistics are wrong: {report} {found}")
            (await client.get("/v1/stats")).raise_for_status()
            for number in range(ROUNDS):
                log_progress(f"{images:,} images, round {number + 1} of {ROUNDS}")
                for _ in range(READS):
                    statement.append(await milliseconds(lambda: connection.fetchrow(REPORT, 30, "UTC")))
                    route.append(await milliseconds(lambda: client.get("/v1/stats")))
                counted.append(await milliseconds(lambda: connection.fetchrow(COUNTED)))
    finally:
        await connection.close()
    ways = {"the report's statement": statement, "`GET /v1/stats`": route, "counting all rows": counted}
    return [f"| {images:,} | {way} | {spread(times)} |" for way, times in ways.items()]


async def measure(servers: Servers) -> str:
    lines = ["| images | way | ms |", "|---:|---|---:|"]
    for images in IMAGES:
        lines += await measured(servers, images)
    note = f"Median (min to max); the counts of {UNFOLDED:,} of the images are not folded yet. All ways agree."
    return "\n".join([*lines, "", f"{note} Wanted at a million: {TARGET_MS} ms."])
