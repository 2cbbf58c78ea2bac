"""The visits report at a million visit images, and the import of a large file of stores."""

import time
from collections.abc import Callable

import asyncpg
import httpx

from bench.api import admin_client
from bench.programs import web
from bench.progress import log_progress
from bench.rounds import spread
from bench.servers import Servers

IMAGES, STORES, AREAS, DAYS = 1_000_000, 2_000, 20, 90
ROWS_OF_STORES = 100_000
MAX_MILLISECONDS, MAX_IMPORT_SECONDS = 50, 10

SEED = f"""
    INSERT INTO stores (id, name, area, time_zone)
    SELECT 'S' || lpad(n::text, 8, '0'), 'STORE ' || n, (n % {AREAS})::text, 'Asia/Kolkata'
    FROM generate_series(0, {STORES - 1}) n;
    INSERT INTO jobs (id, owner_id, total) SELECT gen_random_uuid(), id, {IMAGES + 1} FROM users;
    INSERT INTO visits (id, job_id, position, store_id, visit_time)
    SELECT gen_random_uuid(), j.id, n, 'S' || lpad((random() * {STORES - 1})::int::text, 8, '0'),
           '2026-08-01'::timestamptz + random() * interval '{DAYS} days'
    FROM jobs j, generate_series(1, {IMAGES // 4}) n;
    INSERT INTO visit_images (id, visit_id, owner_id, store_id, visit_time, position, url, fetch_id, state,
                              perimeter, score, seconds)
    SELECT gen_random_uuid(), v.id, j.owner_id, v.store_id, v.visit_time, n, 'https://pictures.example.org/' || v.id,
           gen_random_uuid(), 'done', 14000, (random() * 100)::int, random()
    FROM visits v JOIN jobs j ON j.id = v.job_id, generate_series(0, 3) n;
"""


async def the_report(servers: Servers) -> list[str]:
    settings = await servers.new_settings("report")
    log_progress(f"{IMAGES:,} visit images")
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    await connection.execute(SEED)
    await connection.execute("VACUUM ANALYZE visit_images")
    await connection.execute("ANALYZE stores")
    await connection.close()
    asked: dict[str, Callable[[int], dict[str, str]]] = {
        "one area, a month": lambda n: {"area": str(n % AREAS), "start_date": "2026-09-01", "end_date": "2026-09-30"},
        "one store, all days": lambda n: {"store_id": f"S{n:08}"},
        "all stores, one day": lambda _: {"start_date": "2026-09-15", "end_date": "2026-09-15"},
    }
    lines = ["| asked for | stores x days | ms |", "|---|---:|---:|"]
    async with web(settings, servers.folder / "report.log") as (url, _), admin_client(url, settings) as client:
        for name, params in asked.items():
            await client.get("/v1/visits", params=params(0))
            times, size = [], 0
            for n in range(20):
                started = time.perf_counter()
                answer = await client.get("/v1/visits", params=params(n))
                times.append((time.perf_counter() - started) * 1000)
                size = sum(len(store["data"]) for store in answer.json()["results"])
            lines.append(f"| {name} | {size:,} | {spread(times)} |")
    return [
        f"`GET /v1/visits` over HTTP, at {IMAGES:,} visit images of {STORES:,} stores in {AREAS} areas "
        f"and {DAYS} days, median (min to max) of 20:",
        "",
        *lines,
        "",
        f"Wanted: at most {MAX_MILLISECONDS} ms for one area and a month.",
    ]


async def the_import(client: httpx.AsyncClient) -> str:
    rows = "".join(f"{n % 100},STORE {n},S{n:08}\n" for n in range(ROWS_OF_STORES))
    times = []
    for round_ in range(2):
        log_progress(f"{ROWS_OF_STORES:,} stores, round {round_ + 1}")
        started = time.perf_counter()
        answer = await client.post(
            "/v1/stores/import",
            content="AreaCode,StoreName,StoreID\n" + rows,
            headers={"Content-Type": "text/csv"},
        )
        times.append(time.perf_counter() - started)
        assert answer.json()["rejected"] == 0, answer.text
    return (
        f"`POST /v1/stores/import` of {ROWS_OF_STORES:,} rows: {times[0]:.1f} s, the same file again {times[1]:.1f} s "
        f"(wanted: under {MAX_IMPORT_SECONDS} s)."
    )


async def measure(servers: Servers) -> str:
    lines = await the_report(servers)
    settings = await servers.new_settings("stores")
    async with web(settings, servers.folder / "stores.log") as (url, _), admin_client(url, settings) as client:
        return "\n".join([*lines, "", await the_import(client)])
