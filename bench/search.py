"""The first page of every single filter among a million images: as anybody, as the owner of two fifths, as an admin.

The figures are those of the service's own code: the statements (two where few images match), and the JSON of fifty
images. On a busy machine the minimum of the rounds is what a page costs.
"""

import re
import statistics
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np

from bench.perceptual_hash import random_hashes
from bench.progress import log_progress
from bench.rounds import spread
from bench.search_data import MANY, fill
from bench.servers import Servers
from imagesvc.accounts.service import MEMBER_SCOPES, OPERATOR, Caller
from imagesvc.db import Database
from imagesvc.images.schemas import as_json
from imagesvc.images.search.schemas import ImageSearch
from imagesvc.images.search.service import MAX_LOOKED, Search
from imagesvc.images.search.sql import Statement, Way, has_order
from imagesvc.images.search.visibility import lanes_of
from imagesvc.images.similar.service import Similar

IMAGES, ROUNDS, PAGE = 1_000_000, 7, 50
WANTED_MS = 50
OWNER = Caller(user_id=UUID(MANY), account="owner 1", scopes=MEMBER_SCOPES)
CALLERS: Mapping[str, Caller | None] = {"anybody": None, "owner": OWNER, "admin": OPERATOR}
INDEX = re.compile(r"(?:Index Scan|Index Only Scan)(?: Backward)? using (\w+)|Bitmap Index Scan on (\w+)")

PUBLIC_FILTERS: list[dict[str, Any]] = [
    {},
    {"sort": "created_at"},
    {"sort": "-score"},
    {"sort": "score"},
    *({"q": q} for q in ("IMG_", "DSC00417", "ea", "qz", "x", "квжщ", "no such words")),
    *({"visibility": visibility} for visibility in ("public", "private")),
    *({"state": state} for state in ("ready", "rejected", "failed", "pending")),
    *({"format": form} for form in ("jpeg", "webp", "tiff", "bmp")),
    *({"min_score": score} for score in (50, 97, 100)),
    {"uploaded_from": "{recent}"},
    {"uploaded_to": "{old}"},
    {"uploaded_from": "{old}", "uploaded_to": "{old}"},
]
HIDDEN_FILTERS: list[dict[str, Any]] = [
    {"sort": "-captured", "owner": "me"},
    {"sort": "captured", "owner": "me"},
    *({"store_id": store} for store in ("S1", "S499", "S0")),
    {"store_name": "Shop 7"},
    *({"camera_id": device} for device in ("cam-1", "cam-1999")),
    *({"barcode": barcode} for barcode in ("{barcode}", "1")),
    {"link_id": "{link}"},
    {"batch_id": "{batch}"},
    *({"camera_model": model} for model in ("camera 1", "Camera 499", "none")),
    {"captured_from": "{recent}"},
    {"captured_to": "{oldest}"},
    {"captured_from": "{old}", "captured_to": "{old_day}"},
    *({"near": f"{{city}},{km}"} for km in (1, 20, 1000, 20000)),
    {"near": "{rare_city},5"},
    {"near": "-89.9,0,10"},
]


async def measure(servers: Servers) -> str:
    settings = await servers.new_settings("search")
    # skips the foreign key checks, because the generated rows are consistent; needs a superuser
    connection = await asyncpg.connect(servers.admin_url_of(settings))
    try:
        await fill(connection, IMAGES)
        known = await examples(connection)
        database = Database(settings)
        try:
            lines = [*await searches(database, connection, known), "", *await similar(database, connection)]
        finally:
            await database.close()
    finally:
        await connection.close()
    return "\n".join(lines)


async def examples(connection: asyncpg.Connection) -> dict[str, str]:
    """Values that exist, from the owner's images."""
    one = await connection.fetchrow(
        """
        SELECT (SELECT id FROM links WHERE owner_id = $1 LIMIT 1)::text AS link,
               (SELECT batch_id FROM uploads WHERE owner_id = $1 AND batch_id IS NOT NULL LIMIT 1)::text AS batch,
               (SELECT barcode FROM uploads WHERE owner_id = $1 AND barcode IS NOT NULL LIMIT 1) AS barcode,
               (SELECT to_char(max(created_at) - interval '3 days', 'YYYY-MM-DD') FROM images) AS recent,
               to_char(now() - interval '400 days', 'YYYY-MM-DD') AS old,
               to_char(now() - interval '399 days', 'YYYY-MM-DD') AS old_day,
               to_char(now() - interval '740 days', 'YYYY-MM-DD') AS oldest
        """,
        OWNER.user_id,
    )
    places = await connection.fetch(
        "SELECT round(latitude)::int || ',' || round(longitude)::int AS place, avg(latitude) AS latitude,"
        " avg(longitude) AS longitude FROM images WHERE latitude IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC"
    )
    cities = {"city": places[0], "rare_city": places[-1]}
    return dict(one) | {name: f"{place['latitude']:.5f},{place['longitude']:.5f}" for name, place in cities.items()}


async def searches(database: Database, connection: asyncpg.Connection, known: Mapping[str, str]) -> list[str]:
    search = Search(database)
    lines = ["| filter | " + " | ".join(CALLERS) + " | read by (admin) |", f"|---|{'---:|' * len(CALLERS)}---|"]
    medians, leasts = [], []
    for filters in (*PUBLIC_FILTERS, *HIDDEN_FILTERS):
        wanted = ImageSearch.model_validate(
            {name: value.format(**known) if isinstance(value, str) else value for name, value in filters.items()}
        )
        cells = []
        for caller in CALLERS.values():
            if caller is None and filters in HIDDEN_FILTERS:
                cells.append("")
                continue
            times, found = [], 0
            for _ in range(ROUNDS + 1):
                started = time.perf_counter()
                page = await search.page(caller, wanted, after=None, rows=PAGE + 1)
                as_json({"items": [image for _, image in page]})
                times.append((time.perf_counter() - started) * 1000)
                found = len(page)
            times = times[1:]  # the first of a kind is planned and read from disk
            medians.append(statistics.median(times))
            leasts.append(min(times))
            cells.append(f"{spread(times, 0)}{'' if found > PAGE else f', {found} found'}")
        title = ", ".join(f"`{name}={value}`" for name, value in filters.items()) or "none"
        lines.append(f"| {title} | {' | '.join(cells)} | {await read_by(connection, wanted)} |")
        log_progress(lines[-1])
    note = (
        f"Milliseconds, median (min to max) of {ROUNDS} first pages of {PAGE}. The slowest median is"
        f" {max(medians):.0f}, the slowest minimum {max(leasts):.0f}; wanted: {WANTED_MS} or less."
    )
    lines += ["", note]
    return lines


async def read_by(connection: asyncpg.Connection, wanted: ImageSearch) -> str:
    """The indexes that find the page, as EXPLAIN names them, without those that fetch each image's details."""

    async def plan(way: Way) -> tuple[str, int]:
        statement = Statement(
            way,
            wanted,
            lanes_of(OPERATOR, wanted),
            caller_id=OPERATOR.user_id,
            is_admin=True,
            after=None,
            rows=PAGE + 1,
            max_looked=MAX_LOOKED,
        )
        rows = await connection.fetch(f"EXPLAIN {statement.text}", *statement.arguments)
        text = "\n".join(row[0] for row in rows)
        pages = text.partition("InitPlan")[0] if "CTE" not in text else text
        first = await connection.fetchrow(statement.text, *statement.arguments)
        names = {one or other for one, other in INDEX.findall(pages)} - {"uploads_image_id_idx"}
        return ", ".join(f"`{name}`" for name in sorted(names) if not name.endswith(("pkey", "key"))), first["looked"]

    if has_order(wanted):
        return (await plan("list"))[0]
    looked, count = await plan("look")
    return looked if count < MAX_LOOKED else f"{looked}; {(await plan('gather'))[0]}"


async def similar(database: Database, connection: asyncpg.Connection) -> list[str]:
    hashes = random_hashes(IMAGES, np.random.default_rng(1)).view(np.int64).tolist()
    ids = [row["blob_id"] for row in await connection.fetch("SELECT blob_id FROM images WHERE state = 'ready'")]
    rows = list(zip(ids, hashes, strict=False))
    await connection.execute("ALTER TABLE perceptual_hashes DISABLE TRIGGER ALL")
    await connection.copy_records_to_table("perceptual_hashes", records=rows)
    await connection.execute("VACUUM ANALYZE perceptual_hashes")
    some = await connection.fetch(
        "UPDATE blobs b SET perceptual_hash = h.hash FROM perceptual_hashes h, images i"
        " WHERE h.blob_id = b.id AND i.blob_id = b.id AND i.id = ANY(ARRAY("
        " SELECT id FROM images WHERE state = 'ready' AND visibility = 'public' LIMIT 40)) RETURNING i.id"
    )
    lines = [f"| similar to one among {len(rows):,} | median ms | most |", "|---|---:|---:|"]
    for max_distance in (8, 12, 16):
        times = []
        for row in some:
            started = time.perf_counter()
            await Similar(database).to(None, row["id"], max_distance=max_distance)
            times.append((time.perf_counter() - started) * 1000)
        lines.append(f"| within {max_distance} | {statistics.median(times):.0f} | {max(times):.0f} |")
    return lines
