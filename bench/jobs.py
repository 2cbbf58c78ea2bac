"""Concurrent jobs on one machine: images per second, memory, and waiting times.

The images are small and all different. The benchmark serves them itself, on the same cores. In the middle of the run it
submits a job of five images and an upload, and measures how long both wait.
"""

import asyncio
import statistics
import time
from typing import Any

import httpx
import psutil

from bench.api import admin_client
from bench.programs import memory_bytes, web, worker
from bench.progress import log_progress
from bench.rounds import spread
from bench.servers import Servers
from tests.support.image_server import ImageServer, image_server
from tests.support.images import jpeg

JOBS, IMAGES_OF_A_JOB = 3, 1_000
MAX_SECONDS = 900.0


async def submit(client: httpx.AsyncClient, urls: list[str]) -> str:
    visits = [
        {"store_id": "S00000001", "image_url": urls[n : n + 10], "visit_time": "2026-09-02T10:00:00Z"}
        for n in range(0, len(urls), 10)
    ]
    answer = await client.post("/v1/jobs", json={"count": len(visits), "visits": visits})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["job_id"])


async def job(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/v1/jobs/{job_id}")).json()
    return found


async def until_images(client: httpx.AsyncClient, job_id: str, *, ended: int, look_seconds: float = 0.5) -> None:
    """Polls rarely, because the client shares the cores."""
    async with asyncio.timeout(MAX_SECONDS):
        while True:
            found = await job(client, job_id)
            if found["done"] + found["failed"] >= ended:
                return
            await asyncio.sleep(look_seconds)


def pictures(server: ImageServer, name: str, count: int) -> list[str]:
    """One image under many URLs, each with different bytes after its end."""
    data = jpeg(seed=1, size=(320, 240))
    return [server.serve(f"/{name}/{n}.jpg", data + f"{name} {n}".encode()) for n in range(count)]


def worker_memory(pid: int) -> float:
    """Resident memory in MiB of the worker and of all its decoding processes."""
    processes = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    total = 0
    for each in processes:
        try:
            total += memory_bytes(each)
        except psutil.NoSuchProcess:
            continue  # the process of an image has exited
    return total / 2**20


async def measure(servers: Servers) -> str:
    settings = await servers.new_settings("jobs", fetch_allow=("127.0.0.1/32",))
    async with (
        image_server() as server,
        web(settings, servers.folder / "jobs.log") as (url, _),
        worker(settings, servers.folder / "worker.log") as pid,
        admin_client(url, settings) as client,
    ):
        await client.put("/v1/stores/S00000001", json={"store_name": "STORE 1", "area": "1"})
        urls = [pictures(server, f"job{n}", IMAGES_OF_A_JOB) for n in range(JOBS)]
        memory, started = [worker_memory(pid)], time.perf_counter()
        taken, job_ids = [], []
        for some in urls:
            submitted = time.perf_counter()
            job_ids.append(await submit(client, some))
            taken.append((time.perf_counter() - submitted) * 1000)
        log_progress(f"{JOBS} jobs of {IMAGES_OF_A_JOB:,} images")

        async def watch() -> None:
            while True:
                memory.append(worker_memory(pid))
                await asyncio.sleep(1)

        watching = asyncio.create_task(watch())
        small_seconds, upload_seconds, shares = await in_the_middle(client, server, job_ids)
        for job_id in job_ids:
            await until_images(client, job_id, ended=IMAGES_OF_A_JOB)
        seconds = time.perf_counter() - started
        watching.cancel()
        ended = [await job(client, job_id) for job_id in job_ids]
    assert [one["done"] for one in ended] == [IMAGES_OF_A_JOB] * JOBS, ended
    lines = [
        f"{JOBS} jobs of {IMAGES_OF_A_JOB:,} different JPEGs of 320 x 240 each, one worker, all settings as they come:",
        "",
        "| | |",
        "|---|---:|",
        f"| images a second | {JOBS * IMAGES_OF_A_JOB / seconds:.1f} |",
        f"| `POST /v1/jobs`, ms | {spread(taken, 0)} |",
        f"| worker and its sandboxes, MiB, before | {memory[0]:.0f} |",
        f"| the same while it works, median and maximum | {statistics.median(memory):.0f}, {max(memory):.0f} |",
        f"| images done of each job when the small job was submitted | {', '.join(map(str, shares))} |",
        f"| a job of 5 images sent then, until finished, s | {small_seconds:.2f} |",
        f"| an upload sent then, until ready, s | {upload_seconds:.2f} |",
    ]
    return "\n".join(lines)


async def in_the_middle(
    client: httpx.AsyncClient, server: ImageServer, job_ids: list[str]
) -> tuple[float, float, list[int]]:
    """The duration of a small job and an upload while the large jobs run, and the progress of those."""

    await until_images(client, job_ids[0], ended=IMAGES_OF_A_JOB // 4)
    shares = [(await job(client, job_id))["done"] for job_id in job_ids]
    started = time.perf_counter()
    await until_images(client, await submit(client, pictures(server, "small", 5)), ended=5, look_seconds=0.05)
    small_seconds, started = time.perf_counter() - started, time.perf_counter()
    sent = await client.post("/v1/images", files=[("file", ("a.jpg", jpeg(seed=2, size=(320, 240))))])
    await client.get(f"{sent.json()['results'][0]['url']}?wait=30")
    return small_seconds, time.perf_counter() - started, shares
