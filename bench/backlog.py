"""What one picture costs while few or many other tasks wait: the sweep, the queue and the claim must not depend on it.

The pictures are uploaded first, then the backlog is queued behind them, and then the worker starts. The tasks of the
backlog are never reached.
"""

import asyncio
import statistics
import time

import asyncpg
import httpx

from bench.api import new_link
from bench.processing import photo
from bench.programs import cpu_seconds, tree_cpu_seconds, web, worker
from bench.progress import log_progress
from bench.ready import another
from bench.rounds import rotated
from bench.servers import Servers
from imagesvc.db import Database
from imagesvc.settings import Settings
from imagesvc.tasks.queue import Queue
from tests.support.processes import until

BACKLOGS = (100, 100_000)
WARM_UP, PICTURES, ROUNDS, AT_ONCE = 20, 80, 3, 1_000
INSERT = """
    INSERT INTO tasks (id, kind) SELECT gen_random_uuid(), 'process_image' FROM generate_series(1, $1) RETURNING id
"""
READY = "SELECT count(*) >= $1 FROM images WHERE state = 'ready'"
Figures = dict[str, float]
"""CPU milliseconds of each picture, by process; and pictures a second."""


async def _queue_backlog(settings: Settings, connection: asyncpg.Connection, count: int) -> None:
    ids = [str(row["id"]) for row in await connection.fetch(INSERT, count)]
    await connection.execute("ANALYZE tasks")
    database = Database(settings)
    async with Queue(settings, database) as queue:
        for start in range(0, count, AT_ONCE):
            await queue._send({f"{task_id}:0": task_id for task_id in ids[start : start + AT_ONCE]})
    await database.close()


async def _round(servers: Servers, name: str, body: bytes, backlog: int) -> Figures:
    settings = await servers.new_settings(name)
    connection = await asyncpg.connect(servers.admin_url_of(settings))
    async with web(settings, servers.folder / "web.log") as (url, _), httpx.AsyncClient(timeout=60) as client:
        link = await new_link(url, settings)
        for _ in range(WARM_UP + PICTURES):
            (await client.put(f"{link}/photo.jpg", content=another(body))).raise_for_status()
    await _queue_backlog(settings, connection, backlog)

    async def are_ready(count: int) -> bool:
        await asyncio.sleep(0.03)
        return bool(await connection.fetchval(READY, count))

    async with worker(settings, servers.folder / "worker.log") as pid:

        def used() -> Figures:
            own, servers_used = cpu_seconds(pid), servers.pids
            trees = {title: tree_cpu_seconds(servers_used[program]) for title, program in SERVERS.items()}
            return {"worker": own, "sandbox": tree_cpu_seconds(pid) - own, **trees}

        await until(lambda: are_ready(WARM_UP), seconds=120)
        before, started = used(), time.perf_counter()
        await until(lambda: are_ready(WARM_UP + PICTURES), seconds=120)
        seconds, after = time.perf_counter() - started, used()
    await connection.close()
    figures = {process: (after[process] - value) / PICTURES * 1000 for process, value in before.items()}
    return {"pictures/s": PICTURES / seconds, **figures}


SERVERS = {"Valkey": "valkey", "PostgreSQL": "postgres", "S3 server": "weed"}


async def measure(servers: Servers) -> str:
    body = photo((320, 240))
    found: dict[int, list[Figures]] = {backlog: [] for backlog in BACKLOGS}
    for number in range(ROUNDS):
        for backlog in rotated(BACKLOGS, number):
            log_progress(f"round {number + 1} of {ROUNDS}: {backlog:,} tasks wait")
            found[backlog].append(await _round(servers, f"backlog-{backlog}-{number}", body, backlog))
    few, many = (found[backlog] for backlog in BACKLOGS)
    lines = [f"| CPU of a picture, ms | {BACKLOGS[0]:,} tasks wait | {BACKLOGS[1]:,} tasks wait |", "|---|---:|---:|"]
    for row in few[0]:
        medians = [statistics.median(figures[row] for figures in rounds) for rounds in (few, many)]
        lines.append(f"| {row} | {medians[0]:.1f} | {medians[1]:.1f} |")
    return "\n".join([*lines, "", f"Medians of {ROUNDS} rounds of {PICTURES} pictures of 320 x 240."])
