"""Time from a resize request until its status is SUCCESS: an idle service, one 12-megapixel photo at a time."""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable

import httpx

from bench.api import admin_client
from bench.processing import photo
from bench.programs import cpu_seconds, web, worker
from bench.progress import log_progress
from bench.ready import another
from bench.rounds import spread
from bench.servers import Servers
from imagesvc.settings import Settings

SIZE = (4000, 3000)
ROUNDS = 12
LOOK_SECONDS = 0.005
TARGET_MILLISECONDS = 300

Ask = Callable[[httpx.AsyncClient, bytes], Awaitable[httpx.Response]]


async def as_json(admin: httpx.AsyncClient, body: bytes) -> httpx.Response:
    return await admin.post("/v1/resizes", json={"image": base64.b64encode(body).decode()})


async def as_form(admin: httpx.AsyncClient, body: bytes) -> httpx.Response:
    return await admin.post("/v1/resizes", files={"file": ("photo.jpg", body)})


async def of_image(admin: httpx.AsyncClient, body: bytes) -> httpx.Response:
    """A resize of the first image to a new width."""
    image = (await admin.get("/v1/images", params={"limit": 1})).raise_for_status().json()["items"][0]["id"]
    return await admin.post("/v1/resizes", json={"image_id": image, "width": 100 + body[8]})


METHODS: dict[str, Ask] = {"JSON, base64": as_json, "multipart": as_form, "`image_id`": of_image}


async def one(admin: httpx.AsyncClient, ask: Ask, body: bytes) -> tuple[float, float]:
    """Milliseconds until the token was returned, and until its status was SUCCESS."""
    started = time.perf_counter()
    status_url = (await ask(admin, body)).raise_for_status().json()["status_url"]
    answered = time.perf_counter()
    status = "PENDING"
    while status not in ("SUCCESS", "FAILURE"):
        await asyncio.sleep(LOOK_SECONDS)
        status = (await admin.get(status_url)).raise_for_status().json()["status"]
    if status != "SUCCESS":
        raise RuntimeError("the photo was not resized")
    return (answered - started) * 1000, (time.perf_counter() - started) * 1000


async def measure(servers: Servers) -> str:
    log_progress("making the photo")
    body = photo(SIZE)
    settings: Settings = await servers.new_settings("resizes")
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in METHODS}
    async with (
        web(settings, servers.folder / "web.log") as (url, _),
        worker(settings, servers.folder / "worker.log") as pid,
        admin_client(url, settings) as admin,
    ):
        sent = await admin.post("/v1/images", files={"file": ("photo.jpg", body)})
        await admin.get(sent.raise_for_status().json()["results"][0]["url"], params={"wait": 30})
        for ask in METHODS.values():  # the worker's first one waits for the start of the sandbox
            await one(admin, ask, another(body))
        before = cpu_seconds(pid)
        for number in range(ROUNDS):
            log_progress(f"round {number + 1} of {ROUNDS}")
            for name, ask in METHODS.items():
                times[name].append(await one(admin, ask, another(body)))
        worked = (cpu_seconds(pid) - before) * 1000 / ROUNDS / len(METHODS)
    lines = ["| sent as | request to token, ms | request to SUCCESS, ms |", "|---|---:|---:|"]
    for name, measured in times.items():
        tokens, ends = zip(*measured, strict=True)
        lines.append(f"| {name} | {spread(tokens, 0)} | {spread(ends, 0)} |")
    note = (
        f"A JPEG of 12 megapixels and {len(body):,} bytes to 100 x 100; median (min to max) of {ROUNDS} each, "
        f"looked at every {LOOK_SECONDS * 1000:g} ms. The worker's own CPU without the sandbox: {worked:.0f} ms."
    )
    return "\n".join([*lines, "", f"{note} Wanted on an idle machine: less than {TARGET_MILLISECONDS} ms."])
