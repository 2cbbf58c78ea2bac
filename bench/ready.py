"""Time from the response to an upload until its image is ready: an idle service, one photo at a time."""

import os
import time

import httpx

from bench.api import admin_client, new_link
from bench.processing import photo
from bench.programs import cpu_seconds, web, worker
from bench.progress import log_progress
from bench.rounds import spread
from bench.servers import Servers
from imagesvc.settings import Settings

PHOTOS = {"12 MP": (4000, 3000), "1 MP": (1154, 866)}
ROUNDS = 10
TARGET_SECONDS = 1


def another(data: bytes) -> bytes:
    """The same image as a different file: the comment at the start of the JPEG differs."""
    return data[:2] + b"\xff\xfe\x00\x12" + os.urandom(16) + data[2:]


class Journey:
    """Repeated uploads of one size of photo."""

    def __init__(self) -> None:
        self.answered: list[float] = []
        self.ready: list[float] = []
        self.worked: list[float] = []

    async def go(self, anyone: httpx.AsyncClient, admin: httpx.AsyncClient, link: str, body: bytes, pid: int) -> None:
        before, started = cpu_seconds(pid), time.perf_counter()
        answer = (await anyone.put(f"{link}/photo.jpg", content=body)).raise_for_status().json()
        answered = time.perf_counter()
        receipt = answer["results"][0]["upload_id"]
        upload = (await admin.get(f"/v1/uploads/{receipt}", params={"wait": 30})).raise_for_status().json()
        ready = time.perf_counter()
        if upload["image"]["state"] != "ready":
            raise RuntimeError(f"the photo is {upload['image']['state']}")
        self.answered.append((answered - started) * 1000)
        self.ready.append((ready - answered) * 1000)
        self.worked.append((cpu_seconds(pid) - before) * 1000)


async def measure(servers: Servers) -> str:
    log_progress("making the photos")
    bodies = {name: photo(size) for name, size in PHOTOS.items()}
    journeys = {name: Journey() for name in PHOTOS}
    settings: Settings = await servers.new_settings("ready")
    async with (
        web(settings, servers.folder / "web.log") as (url, _),
        worker(settings, servers.folder / "worker.log") as worker_pid,
        httpx.AsyncClient(timeout=60) as anyone,
        admin_client(url, settings) as admin,
    ):
        link = await new_link(url, settings)
        for name, body in bodies.items():  # the worker's first photo waits for the start of the sandbox
            await Journey().go(anyone, admin, link, another(body), worker_pid)
            log_progress(f"{name}: {len(body):,} bytes")
        for number in range(ROUNDS):
            log_progress(f"round {number + 1} of {ROUNDS}")
            for name, body in bodies.items():
                await journeys[name].go(anyone, admin, link, another(body), worker_pid)
    lines = [
        "| photo | bytes | PUT to answer, ms | answer to `ready`, ms | worker's own CPU, ms |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, journey in journeys.items():
        figures = " | ".join(spread(part, 0) for part in (journey.answered, journey.ready, journey.worked))
        lines.append(f"| {name} | {len(bodies[name]):,} | {figures} |")
    note = f"Median (min to max) of {ROUNDS} photos each. The worker's own CPU is without the sandbox's processes."
    return "\n".join([*lines, "", f"{note} Wanted: less than {TARGET_SECONDS} s to `ready`."])
