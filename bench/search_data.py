"""Generates a million images of two years like those of a shop chain: uneven owners, cities, words, stores and cameras.

The database generates all rows without indexes and triggers; the indexes are built afterwards.
"""

import asyncpg

from bench.progress import log_progress

OWNERS = 200
MANY = "0199a000-0000-7000-8000-000000000001"
"""Two fifths of all images are this owner's."""

DRAWN = """
CREATE FUNCTION pg_temp.often(most int, power float) RETURNS int LANGUAGE sql VOLATILE AS $$
    -- 1 to most, low numbers much more often
    SELECT 1 + floor(most * power(random(), power))::int
$$
"""
IDS = """
CREATE FUNCTION pg_temp.id_of(at timestamptz) RETURNS uuid LANGUAGE sql VOLATILE AS $$
    -- as the service makes them: the time first (UUIDv7)
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(random()::text), 1, 3)
            || '8' || substr(md5(random()::text), 1, 15))::uuid
$$
"""
WORDS = """
CREATE TEMP TABLE words AS
SELECT n, CASE n % 40 WHEN 0 THEN translate(word, 'abcdefghijklmnopqrstuvwxyz', 'абвгдежзийклмнопрстуфхцчшщ')
          ELSE word END AS word
FROM (SELECT n, (SELECT string_agg(substr('eaiourtnslcdmphgbfywkv', 1 + floor(22 * power(random(), 1.5))::int, 1), '')
                 FROM generate_series(1, 3 + n % 7) WHERE n > 0) AS word FROM generate_series(1, 8000) AS n) AS drawn
"""
CITIES = """
CREATE TEMP TABLE cities AS
SELECT n, (random() * 110 - 45)::float8 AS latitude, (random() * 360 - 180)::float8 AS longitude
FROM generate_series(1, 400) AS n
"""
USERS = f"""
INSERT INTO users (id, account, role)
SELECT CASE n WHEN 1 THEN '{MANY}' ELSE gen_random_uuid() END, 'owner ' || n, 'member'
FROM generate_series(1, {OWNERS}) AS n
"""
LINKS = """
INSERT INTO links (id, owner_id, expires_at)
SELECT gen_random_uuid(), u.id, now() FROM users u CROSS JOIN generate_series(1, 10)
"""
PLAN = """
CREATE TEMP TABLE plan AS
SELECT n, pg_temp.id_of(now() - interval '730 days' + n * (interval '730 days' / {images})) AS image_id,
    pg_temp.id_of(now() - interval '730 days' + n * (interval '730 days' / {images})) AS blob_id,
    CASE WHEN random() < 0.4 THEN 1 ELSE pg_temp.often({owners}, 2) END AS owner,
    now() - interval '730 days' + n * (interval '730 days' / {images}) AS at,
    random() AS state, random() AS kind, random() AS seen,
    CASE WHEN random() < 0.6 THEN 'Camera ' || pg_temp.often(500, 3) END AS camera,
    CASE WHEN random() < 0.4 THEN pg_temp.often(400, 3) END AS city,
    CASE WHEN random() < 0.7 THEN random() * 100 END AS taken_before,
    greatest(0, least(100, 100 - floor(abs(random() + random() + random() - 1.5) * 60 + random() * 5)))::int AS score,
    CASE n % 5 WHEN 0 THEN 'IMG_' || n WHEN 1 THEN 'DSC' || lpad((n % 99999)::text, 5, '0') ELSE NULL END AS title,
    CASE WHEN random() < 0.6 THEN pg_temp.often(500, 2) END AS store,
    CASE WHEN random() < 0.5 THEN pg_temp.often(2000, 2) END AS device,
    CASE WHEN random() < 0.2 THEN floor(random() * 100000)::int END AS barcode,
    CASE WHEN random() < 0.5 THEN pg_temp.often(10, 2) END AS link
FROM generate_series(1, {images}) AS n
"""
TEXTS = """
CREATE TEMP TABLE texts AS
SELECT d.n, string_agg(w.word, ' ') FILTER (WHERE g <= 2 + d.n % 3) AS short, string_agg(w.word, ' ') AS long
FROM (SELECT n, g, pg_temp.often(8000, 3) AS word
      FROM generate_series(1, 50000) AS n CROSS JOIN generate_series(1, 8) AS g OFFSET 0) AS d
JOIN words w ON w.n = d.word GROUP BY d.n
"""
BLOBS = """
INSERT INTO blobs (id, sha256, scope, bytes, media_type, key, state, width, height, camera, camera_model)
SELECT blob_id, decode(md5(n::text) || md5('x' || n), 'hex'), '00000000-0000-0000-0000-000000000000', 3000000,
       'image/jpeg', 'o/' || blob_id, 'ready', 4000, 3000, camera, camera FROM plan
"""
OWNER_IDS = (
    "CREATE TEMP TABLE owner_ids AS SELECT id, substr(account, 7)::int AS n FROM users WHERE account LIKE 'owner %'"
)
LINK_IDS = """
CREATE TEMP TABLE link_ids AS SELECT l.id, o.n AS owner, row_number() OVER (PARTITION BY l.owner_id ORDER BY l.id) AS n
FROM links l JOIN owner_ids o ON o.id = l.owner_id
"""
IMAGES = """
INSERT INTO images (id, owner_id, blob_id, state, visibility, title, description, created_at, updated_at, media_type,
                    camera, captured_local, captured_utc, filenames, score, latitude, longitude)
SELECT image_id, o.id, blob_id, shown.state, CASE WHEN seen < 0.1 THEN 'public' ELSE 'private' END,
    coalesce(p.title, t.short), CASE WHEN p.n % 3 = 0 THEN t.long END, at, at,
    CASE WHEN kind < 0.85 THEN 'image/jpeg' WHEN kind < 0.93 THEN 'image/heic' WHEN kind < 0.98 THEN 'image/png'
         WHEN kind < 0.9995 THEN 'image/webp' ELSE 'image/tiff' END,
    CASE WHEN shown.state = 'ready' THEN p.camera END,
    CASE WHEN shown.state = 'ready' THEN (at - make_interval(secs => taken_before * 86400)) AT TIME ZONE 'UTC' END,
    CASE WHEN shown.state = 'ready' AND p.n % 3 > 0 THEN at - make_interval(secs => taken_before * 86400) END,
    ARRAY[coalesce(p.title, t.short) || '.jpg'],
    CASE WHEN shown.state = 'ready' THEN p.score ELSE -1 END,
    CASE WHEN shown.state = 'ready' THEN c.latitude + (random() - 0.5) * random() * 0.5 END,
    CASE WHEN shown.state = 'ready' THEN c.longitude + (random() - 0.5) * random() * 0.5 END
FROM plan p JOIN owner_ids o ON o.n = p.owner JOIN texts t ON t.n = 1 + p.n % 50000
LEFT JOIN cities c ON c.n = p.city
CROSS JOIN LATERAL (SELECT CASE WHEN p.state < 0.97 THEN 'ready' WHEN p.state < 0.999 THEN 'rejected'
                                WHEN p.state < 0.9998 THEN 'failed' ELSE 'pending' END AS state) AS shown
ORDER BY p.n
"""
BATCHES = """
INSERT INTO batches (id, owner_id, way) SELECT gen_random_uuid(), o.id, 'user'
FROM (SELECT DISTINCT owner, n / 50 AS batch FROM plan) p JOIN owner_ids o ON o.n = p.owner
"""
BATCH_IDS = """
CREATE TEMP TABLE batch_ids AS SELECT b.id, o.n AS owner, row_number() OVER (PARTITION BY b.owner_id) AS n
FROM batches b JOIN owner_ids o ON o.id = b.owner_id
"""
UPLOADS = """
INSERT INTO uploads (id, owner_id, image_id, link_id, batch_id, way, filename, bytes, duplicate, settled, received_at,
                     image_created_at, store_id, store_name, camera_id, barcode)
SELECT pg_temp.id_of(p.at), o.id, p.image_id, l.id, b.id, 'user', 'a.jpg', 3000000, false, true, p.at, p.at,
    'S' || p.store, 'Shop ' || p.store, 'cam-' || p.device, (4000000000000 + p.barcode)::text
FROM plan p JOIN owner_ids o ON o.n = p.owner
LEFT JOIN link_ids l ON l.owner = p.owner AND l.n = p.link
LEFT JOIN batch_ids b ON b.owner = p.owner AND b.n = 1 + p.n / 50 % 100
ORDER BY p.n
"""


async def fill(connection: asyncpg.Connection, images: int) -> None:
    await connection.execute("SET work_mem = '256MB'; SET maintenance_work_mem = '1GB'; SELECT setseed(0.25)")
    for table in ("images", "uploads", "blobs"):
        await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
    indexes = await connection.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        " AND tablename IN ('images', 'uploads') AND indexname NOT LIKE '%key' AND indexname NOT LIKE '%pkey'"
    )
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['indexname']}")
    for statement in (DRAWN, IDS, WORDS, CITIES, USERS, LINKS):
        await connection.execute(statement)
    await connection.execute(PLAN.format(images=images, owners=OWNERS))
    for statement in (
        TEXTS,
        OWNER_IDS,
        LINK_IDS,
        "ANALYZE plan",
        BLOBS,
        IMAGES,
        BATCHES,
        BATCH_IDS,
        "ANALYZE batch_ids",
        UPLOADS,
    ):
        log_progress(statement.split("\n")[1][:60] if statement.startswith("\n") else statement[:60])
        await connection.execute(statement)
    for index in indexes:
        log_progress(index["indexname"])
        await connection.execute(index["indexdef"])
    for table in ("images", "uploads", "blobs"):
        await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL")
        await connection.execute(f"VACUUM ANALYZE {table}")
    await connection.execute("ANALYZE users; ANALYZE links; ANALYZE batches")
