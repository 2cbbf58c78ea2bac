"""The running service for a test: the real application on a real socket, and a real worker."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn

from imagesvc.main import create_app
from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from imagesvc.wiring import Background, open_background
from imagesvc.worker import work
from tests.support.contract import Contract, openapi_document

START_TIMEOUT_SECONDS = 20.0


@dataclass(kw_only=True)
class Service:
    """``owner`` sends the admin token, ``anyone`` no credential. ``background`` has the components of the worker."""

    settings: Settings
    url: str
    owner: httpx.AsyncClient
    anyone: httpx.AsyncClient
    background: Background
    working: asyncio.Task[None] | None = field(default=None)

    async def new_link(self, **wanted: Any) -> dict[str, Any]:
        """Create an invitation link; returns the response with the added member ``path``."""
        answer = await self.owner.post("/v1/links", json={"expires_in": 3600, **wanted})
        assert answer.status_code == 201, answer.text
        link: dict[str, Any] = answer.json()
        link["path"] = f"/u/{link['token']}"
        return link

    async def upload_of(self, result: dict[str, Any]) -> dict[str, Any]:
        """The upload of an upload result, after its image is processed."""
        answer = await self.owner.get(f"/v1/uploads/{result['upload_id']}", params={"wait": 30})
        assert answer.status_code == 200, answer.text
        upload: dict[str, Any] = answer.json()
        assert upload["image"]["state"] != "pending"
        return upload

    async def image_of(self, result: dict[str, Any]) -> dict[str, Any]:
        """The image of an upload result, after it is processed."""
        image: dict[str, Any] = (await self.upload_of(result))["image"]
        return image

    def start_worker(self) -> None:
        """Run a worker in this process."""
        self.working = asyncio.create_task(work(self.background))

    async def stop_worker(self) -> None:
        """Cancel the worker and wait for it."""
        if self.working is not None:
            self.working.cancel()
            await asyncio.gather(self.working, return_exceptions=True)
            self.working = None


@contextlib.asynccontextmanager
async def running_api(settings: Settings) -> AsyncIterator[str]:
    """Runs an API in this process; yields its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(create_app(settings), log_config=None, access_log=False, lifespan="on")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        async with asyncio.timeout(START_TIMEOUT_SECONDS):
            while not server.started:
                assert not serving.done(), "the API did not start"
                await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@contextlib.asynccontextmanager
async def running_service(settings: Settings, sandbox: Sandbox, *, with_worker: bool = True) -> AsyncIterator[Service]:
    """Runs an API, and a worker unless ``with_worker`` is false. Responses are checked against the OpenAPI document."""
    assert settings.admin_token is not None
    bearer = {"Authorization": f"Bearer {settings.admin_token.get_secret_value()}"}
    client: dict[str, Any] = {
        "timeout": 60,
        "limits": httpx.Limits(max_connections=200),
        "event_hooks": {"response": [Contract(openapi_document()).hold]},
        # the API speaks plain HTTP, and loading the CA certificates takes longer than most tests
        "verify": False,
    }
    async with (
        running_api(settings) as url,
        httpx.AsyncClient(base_url=url, headers=bearer, **client) as owner,
        httpx.AsyncClient(base_url=url, **client) as anyone,
        open_background(settings, sandbox) as background,
    ):
        service = Service(settings=settings, url=url, owner=owner, anyone=anyone, background=background)
        if with_worker:
            service.start_worker()
        try:
            yield service
        finally:
            await service.stop_worker()
