"""The same images in one JSON batch and in one form: rate, CPU, and growth of the API's memory during one request."""

import base64
from collections import defaultdict
from collections.abc import Callable
from time import perf_counter

import httpx

from bench.api import admin_client
from bench.generated_files import GeneratedFiles
from bench.programs import cpu_seconds, max_memory_bytes, memory_bytes, reset_max_memory, web
from bench.progress import log_progress
from bench.rounds import ratios, rotated, spread
from bench.servers import Servers

ROUNDS = 4
SHAPES = {"100 of 100 kB": (100, 100_000), "20 of 2 MB": (20, 2_000_000)}
MAX_MEMORY = {"40 of 5 MB": (40, 5_000_000)}
BOUNDARY = "a-boundary-of-the-benchmark"


def form(images: int, size: int) -> tuple[str, str, bytes]:
    files, pieces = GeneratedFiles(size), []
    for number in range(images):
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{number}.jpg"\r\n\r\n'
        pieces += [head.encode(), bytes(files.next()), b"\r\n"]
    body = b"".join([*pieces, f"--{BOUNDARY}--\r\n".encode()])
    return "/v1/images", f"multipart/form-data; boundary={BOUNDARY}", body


def batch(images: int, size: int) -> tuple[str, str, bytes]:
    files = GeneratedFiles(size)
    pieces = [b'{"filename": "a.jpg", "file": "%b"}' % base64.b64encode(files.next()) for _ in range(images)]
    return "/v1/batches", "application/json", b'{"images": [' + b", ".join(pieces) + b"]}"


METHODS: dict[str, Callable[[int, int], tuple[str, str, bytes]]] = {"form": form, "JSON batch": batch}


class Sent:
    """The figures of one candidate, per request."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.cpu: list[float] = []
        self.memory: list[float] = []

    async def send(self, client: httpx.AsyncClient, pid: int, way: str, images: int, size: int) -> None:
        path, media_type, body = METHODS[way](images, size)
        reset_max_memory(pid)
        memory, cpu, started = memory_bytes(pid), cpu_seconds(pid), perf_counter()
        answer = await client.post(path, content=body, headers={"Content-Type": media_type})
        seconds = perf_counter() - started
        created = [result["status"] for result in answer.raise_for_status().json()["results"]].count("created")
        if created != images:
            raise RuntimeError(f"{created} of {images} were taken")
        self.rates.append(images / seconds)
        self.cpu.append((cpu_seconds(pid) - cpu) / images * 1000)
        self.memory.append((max_memory_bytes(pid) - memory) / 1e6)


async def measure(servers: Servers) -> str:
    lines = [
        "| images | way | images/s | of the form | CPU ms an image | of the form | memory on top, MB |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    settings = await servers.new_settings("batches")
    async with web(settings, servers.folder / "web.log") as (url, pid), admin_client(url, settings) as client:
        for way in METHODS:
            await Sent().send(client, pid, way, 20, 1_000_000)
        for name, (images, size) in {**SHAPES, **MAX_MEMORY}.items():
            sent: dict[str, Sent] = defaultdict(Sent)
            rounds = ROUNDS if name in SHAPES else 2
            for number in range(rounds):
                log_progress(f"{name}, round {number + 1} of {rounds}")
                for way in rotated(list(METHODS), number):
                    await sent[way].send(client, pid, way, images, size)
            form = sent["form"]
            for way, one in sent.items():
                figures = [
                    *(spread(one.rates), spread(ratios(one.rates, form.rates), 2)),
                    *(spread(one.cpu), spread(ratios(one.cpu, form.cpu), 2), spread(one.memory)),
                ]
                lines.append(f"| {name} | {way} | {' | '.join(figures)} |")
    return "\n".join([*lines, "", f"Median (min to max) of {ROUNDS} requests each, one at a time."])
