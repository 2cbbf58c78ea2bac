"""Uploads by link compared with direct PUTs into the S3 server, and with an app that only receives, hashes and PUTs.

Eight files are in flight at a time. All files differ, so each is stored. No worker runs; other sections measure it.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from bench.api import new_link
from bench.programs import cpu_seconds, json_process, web
from bench.progress import log_progress
from bench.rounds import ratios, rotated, spread
from bench.servers import Servers
from tests.support.processes import environment

IN_FLIGHT, ROUNDS = 8, 5
SIZES = {"100 kB": (100_000, 240), "1 MB": (1_000_000, 120), "5 MB": (5_000_000, 32)}
"""Bytes of a file, and how many make a round."""
DIRECT, BARE, RAW, FORM = "direct PUT", "bare app", "link, `PUT`", "link, multipart"
MAX_CPU_OF_BARE, MIN_RATE_OF_DIRECT = 1.3, 0.6

Send = Callable[..., Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """``pid`` is the process whose CPU counts; the direct client counts its own."""

    name: str
    send: Send
    pid: int | None = None

    async def round(self, *, size: int, files: int) -> tuple[float, float]:
        """Returns (files per second, CPU milliseconds per file)."""
        before = cpu_seconds(self.pid) if self.pid else 0.0
        sent = await self.send(size=size, files=files, in_flight=IN_FLIGHT)
        used = cpu_seconds(self.pid) - before if self.pid else sent["cpu_seconds"]
        return sent["files"] / sent["seconds"], used / sent["files"] * 1000


async def contestants(stack: AsyncExitStack, servers: Servers) -> list[Contestant]:
    settings = await servers.new_settings("uploads")
    enter, log = stack.enter_async_context, servers.folder
    direct = await enter(json_process("bench.direct_put", log / "direct.log", environment(settings)))
    client = await enter(json_process("bench.upload_client", log / "load.log"))
    bare_url, bare_pid = await enter(web(settings, log / "bare.log", "-m", "bench.bare_app"))
    url, pid = await enter(web(settings, log / "web.log"))
    link = await new_link(url, settings)

    def to(url: str, *, way: str = "raw") -> Send:
        return lambda **job: client.request(url=url, way=way, **job)

    return [
        Contestant(name=DIRECT, send=direct.request),
        Contestant(name=BARE, send=to(bare_url), pid=bare_pid),
        Contestant(name=RAW, send=to(link), pid=pid),
        Contestant(name=FORM, send=to(link, way="form"), pid=pid),
    ]


async def measure(servers: Servers) -> str:
    lines = [
        "| file | way | files/s | of direct PUT | CPU ms a file | of bare app |",
        "|---|---|---:|---:|---:|---:|",
    ]
    async with AsyncExitStack() as stack:
        everyone = await contestants(stack, servers)
        for name, (size, files) in SIZES.items():
            rates, cpu = defaultdict(list), defaultdict(list)
            for contestant in everyone:
                await contestant.round(size=size, files=files // 4)
            for number in range(ROUNDS):
                log_progress(f"{name}, round {number + 1} of {ROUNDS}")
                for contestant in rotated(everyone, number):
                    files_a_second, milliseconds = await contestant.round(size=size, files=files)
                    rates[contestant.name].append(files_a_second)
                    cpu[contestant.name].append(milliseconds)
            for one in everyone:
                rate, of_direct = rates[one.name], ratios(rates[one.name], rates[DIRECT])
                used, of_bare = cpu[one.name], ratios(cpu[one.name], cpu[BARE])
                figures = f"{spread(rate)} | {spread(of_direct, 2)} | {spread(used, 2)} | {spread(of_bare, 2)}"
                lines.append(f"| {name} | {one.name} | {figures} |")
    wanted = f"{MIN_RATE_OF_DIRECT} of direct PUT or more at 1 MB and 5 MB, {MAX_CPU_OF_BARE} of the bare app or less"
    return "\n".join([*lines, "", f"Median (min to max) of {ROUNDS} rounds. Wanted: {wanted}."])
