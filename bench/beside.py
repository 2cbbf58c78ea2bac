"""This code beside another checkout of it: CPU per file of every process, and rates, as ratios of one run.

``python -m bench --beside PATH``: PATH has a `.venv` with that code installed. Both run their own API and worker over
the same servers, each with its own database, queue and bucket. They take turns, and the one that is not measured is
stopped (SIGSTOP), so that it costs nothing.
"""

import asyncio
import contextlib
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import psutil
import redis.asyncio
from pydantic import SecretStr

from bench.api import admin_client, new_link
from bench.processing import photo
from bench.programs import JsonProcess, cpu_seconds, json_process, tree_cpu_seconds, web, worker
from bench.progress import log_progress
from bench.reads import reads_of, send
from bench.ready import another
from bench.rounds import ratios, rotated
from bench.servers import Servers
from imagesvc.settings import Settings
from tests.support.image_server import ImageServer, image_server
from tests.support.processes import environment, until

ROUNDS, IN_FLIGHT = 3, 4
SIZES = {"100 kB": (100_000, 200), "1 MB": (1_000_000, 100), "5 MB": (5_000_000, 24)}
"""Bytes of a file, and how many make a round."""
WAYS = {"raw": "raw `PUT`", "tus": "tus in one request", "patch": "tus as creation and `PATCH`"}
READS = 800
PHOTOS = {"320 x 240": ((320, 240), 100), "640 x 480": ((640, 480), 60), "12 MP": ((4000, 3000), 6)}
"""Width and height of a photo, and how many make a round."""
JOB_IMAGES = 150
Figures = dict[str, float]
"""By row of the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A running checkout. ``fetched`` serves the images of its jobs."""

    name: str
    settings: Settings
    database: asyncpg.Connection
    url: str
    link: str
    web_pid: int
    worker_pid: int
    fetched: ImageServer

    def signal(self, number: int, *pids: int) -> None:
        """Send a signal to these processes of it, by default all, and their descendants."""
        for pid in pids or (self.web_pid, self.worker_pid):
            for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)


async def _migrate(python: str, settings: Settings) -> None:
    process = await asyncio.create_subprocess_exec(python, "-m", "imagesvc", "migrate", env=environment(settings))
    if await process.wait() != 0:
        raise RuntimeError("the other code could not migrate its database")


async def _start(stack: AsyncExitStack, servers: Servers, name: str, number: int, python: str) -> Code:
    settings = await servers.new_settings(name, is_migrated=False, fetch_allow=("127.0.0.1/32",))
    queue = f"{settings.redis_url.get_secret_value().partition('?')[0]}?db={number}"
    settings = settings.model_copy(update={"redis_url": SecretStr(queue)})
    await _migrate(python, settings)
    enter, log = stack.enter_async_context, servers.folder / f"{name}.log"
    url, web_pid = await enter(web(settings, log, python=python))
    code = Code(
        name=name,
        settings=settings,
        database=await asyncpg.connect(servers.admin_url_of(settings)),
        url=url,
        link=await new_link(url, settings),
        web_pid=web_pid,
        worker_pid=await enter(worker(settings, log, python=python)),
        fetched=await enter(image_server()),
    )
    stack.callback(code.signal, signal.SIGCONT)
    stack.push_async_callback(code.database.close)
    return code


class Costs:
    """CPU seconds of every process since the start: the sandbox is the worker's descendants."""

    def __init__(self, servers: Servers, code: Code) -> None:
        self._servers, self._code = servers, code
        self._before = self._now()

    def _now(self) -> Figures:
        pids, worker_pid = self._servers.pids, self._code.worker_pid
        own = cpu_seconds(worker_pid)
        children = psutil.Process(worker_pid).children()
        return {
            "API": cpu_seconds(self._code.web_pid),
            "worker": own,
            "sandbox": sum(tree_cpu_seconds(child.pid) for child in children),
            "Valkey": tree_cpu_seconds(pids["valkey"]),
            "S3 server": tree_cpu_seconds(pids["weed"]),
            "PostgreSQL": tree_cpu_seconds(pids["postgres"]),
        }

    def milliseconds(self, count: int) -> Figures:
        """CPU milliseconds since the start, for each of ``count`` files."""
        now = self._now()
        return {name: (now[name] - before) / count * 1000 for name, before in self._before.items()}


async def _uploads(servers: Servers, code: Code, client: JsonProcess, way: str) -> Figures:
    figures = {}
    for name, (size, files) in SIZES.items():
        costs = Costs(servers, code)
        await client.request(url=code.link, way=way, size=size, files=files, in_flight=IN_FLIGHT)
        figures[f"{WAYS[way]}, {name}: API, ms"] = costs.milliseconds(files)["API"]
    return figures


async def _forget(code: Code) -> None:
    """Drop the tasks of the files, which are no pictures: only the uploads were wanted."""
    await code.database.execute("DELETE FROM tasks; UPDATE images SET state = 'failed', problem = '{}'")
    async with redis.asyncio.Redis.from_url(code.settings.redis_url.get_secret_value()) as queue:
        await queue.flushdb()


async def _small(servers: Servers, code: Code, name: str, body: bytes, count: int) -> Figures:
    """Pictures to `ready` through the whole service."""
    costs, started = Costs(servers, code), time.perf_counter()
    bodies = iter([another(body) for _ in range(count)])

    async def sender(client: httpx.AsyncClient) -> None:
        for one in bodies:
            (await client.put(f"{code.link}/photo.jpg", content=one)).raise_for_status()

    async with httpx.AsyncClient(timeout=60) as client:
        await asyncio.gather(*(sender(client) for _ in range(IN_FLIGHT)))
    await until(lambda: _is_done(code, "SELECT 1 FROM images WHERE state = 'pending' LIMIT 1"), seconds=120)
    seconds = time.perf_counter() - started
    figures = {f"{name}: pictures/s to ready": count / seconds}
    return figures | {f"{name}: {process}, ms": used for process, used in costs.milliseconds(count).items()}


async def _is_done(code: Code, unfinished: str) -> bool:
    await asyncio.sleep(0.03)
    return await code.database.fetchval(unfinished) is None


async def _job(servers: Servers, code: Code, number: int, body: bytes) -> Figures:
    urls = [code.fetched.serve(f"/{number}/{n}.jpg", another(body)) for n in range(JOB_IMAGES)]
    visits = [
        {"store_id": "S00000001", "image_url": urls[n : n + 10], "visit_time": "2026-09-02T10:00:00Z"}
        for n in range(0, JOB_IMAGES, 10)
    ]
    started = time.perf_counter()
    async with admin_client(code.url, code.settings) as client:
        (await client.put("/v1/stores/S00000001", json={"store_name": "STORE 1", "area": "1"})).raise_for_status()
        (await client.post("/v1/jobs", json={"count": len(visits), "visits": visits})).raise_for_status()
    unfinished = "SELECT 1 FROM visit_images WHERE state = 'waiting' LIMIT 1"
    await until(lambda: _is_done(code, unfinished), seconds=180)
    return {"job of 320 x 240: images/s": JOB_IMAGES / (time.perf_counter() - started)}


async def _round(
    servers: Servers, code: Code, client: JsonProcess, reader: JsonProcess, bodies: dict[str, bytes], number: int
) -> Figures:
    figures: Figures = {}
    code.signal(signal.SIGCONT, code.web_pid)
    for way in WAYS:
        figures |= await _uploads(servers, code, client, way)
    await _forget(code)
    code.signal(signal.SIGCONT, code.worker_pid)
    [thumb] = [read for read in await reads_of(code.url, code.settings) if read.name == "thumb, 200"]
    await send(reader, code.url, thumb, READS // 8)
    costs = Costs(servers, code)
    await send(reader, code.url, thumb, READS)
    figures["thumbnail read: API, ms"] = costs.milliseconds(READS)["API"]
    for name, (_, count) in PHOTOS.items():
        figures |= await _small(servers, code, name, bodies[name], count)
    return figures | await _job(servers, code, number, bodies["320 x 240"])


async def measure(servers: Servers, other: Path) -> str:
    """A table of both, by row: medians and the median ratio."""
    bodies = {name: photo(size) for name, (size, _) in PHOTOS.items()}
    pythons = {"this": sys.executable, "other": str(other / ".venv/bin/python")}
    found: dict[str, list[Figures]] = {"this": [], "other": []}
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(json_process("bench.upload_client", servers.folder / "load.log"))
        reader = await stack.enter_async_context(json_process("bench.read_client", servers.folder / "readers.log"))
        codes = []
        for number, (name, python) in enumerate(pythons.items()):
            codes.append(await _start(stack, servers, name, number, python))
            codes[-1].signal(signal.SIGSTOP)
        for number in range(ROUNDS):
            log_progress(f"round {number + 1} of {ROUNDS}")
            for code in rotated(codes, number):
                found[code.name].append(await _round(servers, code, client, reader, bodies, number))
                code.signal(signal.SIGSTOP)
    return _table(found["this"], found["other"])


def _table(this: Sequence[Figures], other: Sequence[Figures]) -> str:
    lines = ["| | other | this | this / other |", "|---|---:|---:|---:|"]
    for row in this[0]:
        new, old = [figures[row] for figures in this], [figures[row] for figures in other]
        ratio = [f"{value:.2f}" for value in _spread(ratios(new, old))] if min(old) else ["-"] * 3
        figures = f"{statistics.median(old):.1f} | {statistics.median(new):.1f} | {ratio[0]} ({ratio[1]} to {ratio[2]})"
        lines.append(f"| {row} | {figures} |")
    return "\n".join([*lines, "", f"Medians of {ROUNDS} rounds; the ratio is the median of the rounds' own ratios."])


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)
