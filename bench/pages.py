"""The pages of the dashboard among a million images and a million images of visits, as an admin sees them.

The time of a page is that of a whole request on loopback, one request at a time. Each page is requested once before its
rounds.
"""

import time

import asyncpg
import httpx

from bench.programs import web
from bench.progress import log_progress
from bench.rounds import spread
from bench.search_data import fill
from bench.servers import Servers
from bench.visits import SEED

IMAGES, ROUNDS, WANTED_MS = 1_000_000, 9, 100
PAGES = (
    "/admin",
    "/admin/images",
    "/admin/images?q=IMG_",
    "/admin/images?store_id=S1&sort=-score",
    "/admin/images/{image}",
    "/admin/links",
    "/admin/batches",
    "/admin/visits?start_date=2026-09-01&end_date=2026-09-30",
    "/admin/visits?start_date=2026-09-01&end_date=2026-09-30&area=7",
    "/admin/stores",
    "/admin/jobs",
    "/admin/resizes",
    "/admin/webhooks",
    "/admin/tasks",
    "/admin/runs",
    "/admin/accounts",
    "/admin/keys",
)


async def measure(servers: Servers) -> str:
    settings = await servers.new_settings("pages")
    # skips the foreign key checks, because the generated rows are consistent; needs a superuser
    connection = await asyncpg.connect(servers.admin_url_of(settings))
    try:
        await connection.execute(SEED)
        await connection.execute("VACUUM ANALYZE visit_images")
        await fill(connection, IMAGES)
        image = await connection.fetchval("SELECT id FROM images WHERE state = 'ready' ORDER BY id DESC LIMIT 1")
    finally:
        await connection.close()
    assert settings.admin_token is not None
    lines = ["| page | ms | kB |", "|---|---:|---:|"]
    async with (
        web(settings, servers.folder / "web.log") as (url, _),
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        form = {"account": "admin", "password": settings.admin_token.get_secret_value()}
        signed_in = await client.post("/admin/sign-in", data=form, headers={"Origin": url})
        assert signed_in.status_code == 303, signed_in.text
        slowest = 0.0
        for path in PAGES:
            times = []
            for _ in range(ROUNDS + 1):
                started = time.perf_counter()
                answer = await client.get(path.format(image=image))
                times.append((time.perf_counter() - started) * 1000)
                assert answer.status_code == 200, (path, answer.status_code)
            lines.append(f"| `{path}` | {spread(times[1:], 0)} | {len(answer.content) / 1000:.0f} |")
            log_progress(lines[-1])
            slowest = max(slowest, sorted(times[1:])[ROUNDS // 2])
    note = f"Milliseconds, median (min to max) of {ROUNDS}. The slowest median is {slowest:.0f}; wanted: {WANTED_MS}."
    return "\n".join([*lines, "", note])
