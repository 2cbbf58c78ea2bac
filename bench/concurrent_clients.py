"""Five hundred clients at once, each with one file of 1 MB: their responses, and the API's memory.

Each client retries a 429 or 503 after ``Retry-After``.
"""

import asyncio
import contextlib
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from bench.api import new_link
from bench.generated_files import JPEG_HEAD
from bench.programs import cpu_seconds, max_memory_bytes, web
from bench.progress import log_progress
from bench.servers import Servers

CLIENTS, SIZE = 500, 1_000_000
MAX_BYTES = 300_000_000
PIECE = 65_536
SHARED = os.urandom(SIZE - len(JPEG_HEAD) - 16)
TRIES = 60


@dataclass(slots=True)
class Responses:
    """All responses of a run."""

    statuses: Counter[int] = field(default_factory=Counter)
    first: Counter[int] = field(default_factory=Counter)
    without_retry_after: int = 0
    resets: int = 0


async def one_client(url: SplitResult, responses: Responses) -> float:
    """Upload one file until the response is 201; returns the seconds since the start."""
    started, body = time.perf_counter(), (JPEG_HEAD, os.urandom(16), SHARED)
    for attempt in range(TRIES):
        try:
            status, retry_after = await _put(url, body)
        except (ConnectionError, asyncio.IncompleteReadError):
            responses.resets += 1
            await asyncio.sleep(1)
            continue
        responses.statuses[status] += 1
        if attempt == 0:
            responses.first[status] += 1
        if status == 201:
            return time.perf_counter() - started
        if status not in (429, 503):
            raise RuntimeError(f"a client got {status}")
        responses.without_retry_after += retry_after is None
        await asyncio.sleep(float(retry_after or 1))
    raise RuntimeError(f"a client was not let in {TRIES} times")


async def _put(url: SplitResult, body: tuple[bytes, ...]) -> tuple[int, str | None]:
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    head = f"PUT {url.path}/a.jpg HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {SIZE}\r\nConnection: close\r\n\r\n"
    sending = asyncio.create_task(_send(writer, (head.encode(), *body)))
    try:
        answer = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await sending
        writer.close()
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in answer[1:])}
    return int(answer[0].split()[1]), headers.get("retry-after")


async def _send(writer: asyncio.StreamWriter, pieces: tuple[bytes, ...]) -> None:
    for piece in pieces:
        for start in range(0, len(piece), PIECE):
            writer.write(memoryview(piece)[start : start + PIECE])
            await writer.drain()


async def measure(servers: Servers) -> str:
    settings = await servers.new_settings("crowd")
    async with web(settings, servers.folder / "web.log") as (url, pid):
        link = urlsplit(await new_link(url, settings))
        await one_client(link, Responses())
        idle, cpu = max_memory_bytes(pid), cpu_seconds(pid)
        log_progress(f"{CLIENTS} clients at once")
        responses, started = Responses(), time.perf_counter()
        seconds = sorted(await asyncio.gather(*(one_client(link, responses) for _ in range(CLIENTS))))
        wall, cpu, max_memory = time.perf_counter() - started, cpu_seconds(pid) - cpu, max_memory_bytes(pid)
    if responses.without_retry_after:
        raise RuntimeError(f"{responses.without_retry_after} refusals have no Retry-After")
    lines = [
        "| what | figure |",
        "|---|---:|",
        f"| clients, each with one file of {SIZE / 1e6:g} MB | {CLIENTS} |",
        f"| first responses | {_counted(responses.first)} |",
        f"| all responses, refusals with `Retry-After` | {_counted(responses.statuses)} |",
        f"| connections that broke before a response | {responses.resets} |",
        f"| had 201 in the end | {len(seconds)} |",
        f"| until 201: median, 99 %, last | {seconds[len(seconds) // 2]:.1f} s, "
        f"{seconds[int(len(seconds) * 0.99)]:.1f} s, {seconds[-1]:.1f} s |",
        f"| all together | {wall:.1f} s, {CLIENTS / wall:.0f} files/s |",
        f"| the API's CPU a file, refusals included | {cpu / CLIENTS * 1000:.1f} ms |",
        f"| the API's most memory: after one file, in the end | {idle / 1e6:.0f} MB, {max_memory / 1e6:.0f} MB |",
    ]
    return "\n".join([*lines, "", f"One API process with default settings. Wanted: at most {MAX_BYTES / 1e6:.0f} MB."])


def _counted(statuses: Counter[int]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
