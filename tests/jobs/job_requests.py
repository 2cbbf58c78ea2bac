"""Requests about jobs, for tests."""

import asyncio
from typing import Any

import httpx

from tests.support.image_server import Behavior, ImageServer, answer
from tests.support.images import jpeg
from tests.support.processes import until
from tests.support.service import Service

TIME = "2020-09-02T10:00:00Z"


def picture(seed: int) -> bytes:
    """A JPEG of 64 x 48 pixels: its perimeter is 224."""
    return jpeg(seed=seed, size=(64, 48))


def visit(*urls: str, store: str = "S1", time: str = TIME) -> dict[str, Any]:
    return {"store_id": store, "image_url": list(urls), "visit_time": time}


async def submit(client: httpx.AsyncClient, *visits: dict[str, Any]) -> str:
    answer = await client.post("/v1/jobs", json={"count": len(visits), "visits": visits})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["job_id"])


async def job(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    answer = await client.get(f"/v1/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def finished(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    """The job, once its last image has ended."""
    found: dict[str, Any] = {}

    async def has_finished() -> bool:
        nonlocal found
        found = await job(client, job_id)
        return found["finished_at"] is not None

    await until(has_finished)
    return found


async def images_of(client: httpx.AsyncClient, job_id: str) -> list[dict[str, Any]]:
    answer = await client.get(f"/v1/jobs/{job_id}/images", params={"limit": 200})
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def counts(found: dict[str, Any]) -> tuple[str, int, int, int, int]:
    """The job's status, total, done, failed and cancelled."""
    return tuple(found[name] for name in ("status", "total", "done", "failed", "cancelled"))


async def upload(service: Service, data: bytes) -> dict[str, Any]:
    """Upload an image and return it once it is processed."""
    sent = await service.owner.post("/v1/images", files=[("file", ("a.jpg", data))])
    return await service.image_of(sent.json()["results"][0])


class Gate:
    """Responses that the image server holds back until the gate opens."""

    def __init__(self, server: ImageServer) -> None:
        self._server = server
        self._opened = asyncio.Event()

    def serve(self, path: str, body: bytes) -> str:
        return self._server.behave(path, self.held(body))

    def held(self, body: bytes) -> Behavior:
        async def behave(writer: asyncio.StreamWriter) -> None:
            await self._opened.wait()
            await answer(body)(writer)

        return behave

    def open(self) -> None:
        self._opened.set()
