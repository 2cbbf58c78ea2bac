"""Reads of one image by its owner: metadata, thumbnail, and a conditional request for the thumbnail."""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
from prometheus_client.parser import text_string_to_metric_families

from bench.api import admin_client, new_link
from bench.programs import JsonProcess, cpu_seconds, json_process, web, worker
from bench.progress import log_progress
from bench.rounds import rotated, spread
from bench.servers import Servers
from imagesvc.settings import Settings
from tests.support.images import jpeg

IN_FLIGHT, ROUNDS, READS, LOGGED_READS = 8, 5, 1200, 80
LOGGED = re.compile(r"LOG:  (?:statement|execute [^:]*): (?P<sql>.*(?:\n\t.*)*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    name: str
    path: str
    status: int
    headers: dict[str, str]


async def reads_of(url: str, settings: Settings) -> list[Read]:
    """Upload and process an image, then measure reads of it."""
    link = await new_link(url, settings)
    async with admin_client(url, settings) as admin, httpx.AsyncClient(timeout=60) as anyone:
        answer = (await anyone.put(f"{link}/a.jpg", content=jpeg(size=(1600, 1200)))).raise_for_status().json()
        receipt = answer["results"][0]["upload_id"]
        upload = (await admin.get(f"/v1/uploads/{receipt}", params={"wait": 30})).raise_for_status().json()
        image = f"/v1/images/{upload['image']['id']}"
        thumb = f"{image}/renditions/thumb.webp"
        etag = (await admin.get(thumb)).raise_for_status().headers["etag"]
        bearer = {"Authorization": admin.headers["authorization"]}
    return [
        Read(name="nothing (`/livez`)", path="/livez", status=200, headers={}),
        Read(name="metadata", path=image, status=200, headers=bearer),
        Read(name="thumb, 200", path=thumb, status=200, headers=bearer),
        Read(name="thumb, 304", path=thumb, status=304, headers=bearer | {"If-None-Match": etag}),
    ]


async def send(client: JsonProcess, url: str, read: Read, count: int) -> float:
    """Returns reads per second."""
    sent = await client.request(
        url=url + read.path, headers=read.headers, status=read.status, requests=count, in_flight=IN_FLIGHT
    )
    return float(sent["requests"] / sent["seconds"])


class Statements:
    """The statements in PostgreSQL's log."""

    def __init__(self, log: Path, connection: asyncpg.Connection) -> None:
        self._log, self._connection = log, connection
        self._read = log.stat().st_size

    def new(self) -> list[str]:
        with self._log.open(errors="replace") as log:
            log.seek(self._read)
            text = log.read()
            self._read = log.tell()
        return [found["sql"] for found in LOGGED.finditer(text)]

    async def indexes(self, sql: str) -> str:
        """The indexes in the plan of a statement, on tables large enough for the planner to use them."""
        await self._connection.execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
        await self._connection.execute(f"PREPARE looked_at AS {sql}")
        nothings = ["NULL"] * max((int(number) for number in re.findall(r"\$(\d+)", sql)), default=0)
        call = f"looked_at({', '.join(nothings)})" if nothings else "looked_at"
        plan = await self._connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE {call}")
        await self._connection.execute("DEALLOCATE looked_at")
        names, scans = set(re.findall(r'"Index Name": "(\w+)"', plan)), plan.count('"Seq Scan"')
        return ", ".join(f"`{name}`" for name in sorted(names)) + (f" and {scans} whole tables" if scans else "")


async def s3_requests(url: str) -> float:
    async with httpx.AsyncClient(base_url=url) as client:
        page = (await client.get("/metrics")).raise_for_status().text
    found = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return sum(sample.value for sample in found if sample.name == "imagesvc_s3_requests_total")


async def behind(servers: Servers, settings: Settings, client: JsonProcess, reads: list[Read]) -> dict[str, str]:
    """What a read needs: statements, their indexes, S3 requests. Not timed."""
    asked = {}
    connection = await asyncpg.connect(servers.admin_url_of(settings))
    database = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {database} SET log_statement = 'all'")
    statements = Statements(servers.postgres_log, connection)
    async with web(settings, servers.folder / "web.log") as (url, _):
        for read in reads:
            await send(client, url, read, LOGGED_READS)  # work that only the first read does
            before = await s3_requests(url)
            statements.new()
            await send(client, url, read, LOGGED_READS)
            sql, requests = statements.new(), await s3_requests(url) - before
            indexes = [await statements.indexes(one) for one in sorted(set(sql))]
            asked[read.name] = f"{len(sql) / LOGGED_READS:g} | {'; '.join(indexes)} | {requests / LOGGED_READS:g}"
    await connection.close()
    return asked


async def measure(servers: Servers) -> str:
    settings = await servers.new_settings("reads")
    async with (
        json_process("bench.read_client", servers.folder / "readers.log") as client,
        web(settings, servers.folder / "web.log") as (url, pid),
    ):
        async with worker(settings, servers.folder / "worker.log"):
            reads = await reads_of(url, settings)
        rates, cpu = defaultdict(list), defaultdict(list)
        for read in reads:
            await send(client, url, read, READS // 4)
        for number in range(ROUNDS):
            log_progress(f"round {number + 1} of {ROUNDS}")
            for read in rotated(reads, number):
                before = cpu_seconds(pid)
                rates[read.name].append(await send(client, url, read, READS))
                cpu[read.name].append((cpu_seconds(pid) - before) / READS * 1000)
        log_progress("what is asked of others")
        asked = await behind(servers, settings, client, reads)
    lines = [
        "| read | reads/s | CPU ms a read | statements | by index | S3 requests |",
        "|---|---:|---:|---:|---|---:|",
    ]
    for read in reads:
        figures = f"{spread(rates[read.name], 0)} | {spread(cpu[read.name], 2)}"
        lines.append(f"| {read.name} | {figures} | {asked[read.name]} |")
    note = f"Median (min to max) of {ROUNDS} rounds of {READS:,} reads, {IN_FLIGHT} at a time, by the owner."
    return "\n".join([*lines, "", note])
