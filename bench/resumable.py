"""Large files through a link, by tus and as the body of one PUT, one file at a time."""

import os
from collections import defaultdict
from collections.abc import Awaitable, Callable
from time import perf_counter

import httpx

from bench.api import new_link
from bench.generated_files import JPEG_HEAD
from bench.programs import cpu_seconds, web
from bench.progress import log_progress
from bench.rounds import ratios, rotated, spread
from bench.servers import Servers

SIZES = {"5 MB": (5_000_000, 5), "50 MB": (50_000_000, 2)}
"""Bytes of a file, and how many make a round."""
ROUNDS = 4
PIECE_BYTES = 8 * 1024 * 1024
TUS = {"Tus-Resumable": "1.0.0"}

Send = Callable[[httpx.AsyncClient, str, bytes], Awaitable[None]]


async def raw(client: httpx.AsyncClient, link: str, body: bytes) -> None:
    _expect(await client.put(f"{link}/a.jpg", content=body), 201)


async def in_one_patch(client: httpx.AsyncClient, link: str, body: bytes) -> None:
    await _tus(client, link, body, len(body))


async def in_pieces(client: httpx.AsyncClient, link: str, body: bytes) -> None:
    await _tus(client, link, body, PIECE_BYTES)


async def _tus(client: httpx.AsyncClient, link: str, body: bytes, piece_bytes: int) -> None:
    created = await client.post(f"{link}/tus", headers=TUS | {"Upload-Length": str(len(body))})
    _expect(created, 201)
    for start in range(0, len(body), piece_bytes):
        headers = TUS | {"Upload-Offset": str(start), "Content-Type": "application/offset+octet-stream"}
        piece = body[start : start + piece_bytes]
        answer = await client.patch(created.headers["location"], content=piece, headers=headers)
        _expect(answer, 204)
    if answer.headers.get("imagesvc-status") != "created":
        raise RuntimeError(f"the upload did not end: {dict(answer.headers)}")


def _expect(answer: httpx.Response, status: int) -> None:
    if answer.status_code != status:
        raise RuntimeError(f"{answer.status_code} {answer.text}")


METHODS: dict[str, Send] = {"raw `PUT`": raw, "tus, one `PATCH`": in_one_patch, "tus, pieces of 8 MiB": in_pieces}


async def measure(servers: Servers) -> str:
    lines = [
        "| file | way | MB/s | of raw `PUT` | CPU ms a file | of raw `PUT` |",
        "|---|---|---:|---:|---:|---:|",
    ]
    settings = await servers.new_settings("resumable")
    async with (
        web(settings, servers.folder / "web.log") as (url, pid),
        httpx.AsyncClient(base_url=url, timeout=120) as client,
    ):
        link = await new_link(url, settings)
        for name, (size, files) in SIZES.items():
            rates, cpu = defaultdict(list), defaultdict(list)
            rest = os.urandom(size - len(JPEG_HEAD) - 16)
            for number in range(ROUNDS):
                log_progress(f"{name}, round {number + 1} of {ROUNDS}")
                for way in rotated(list(METHODS), number):
                    before, seconds = cpu_seconds(pid), 0.0
                    for _ in range(files):
                        body = JPEG_HEAD + os.urandom(16) + rest
                        started = perf_counter()
                        await METHODS[way](client, link, body)
                        seconds += perf_counter() - started
                    rates[way].append(files * size / seconds / 1e6)
                    cpu[way].append((cpu_seconds(pid) - before) / files * 1000)
            first = next(iter(METHODS))
            for way in METHODS:
                rate = f"{spread(rates[way])} | {spread(ratios(rates[way], rates[first]), 2)}"
                lines.append(
                    f"| {name} | {way} | {rate} | {spread(cpu[way])} | {spread(ratios(cpu[way], cpu[first]), 2)} |"
                )
    return "\n".join([*lines, "", f"Median (min to max) of {ROUNDS} rounds."])
