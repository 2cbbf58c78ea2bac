"""An app with the problem handlers and the request context, a real server for it, and its log lines."""

import io
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
import structlog
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from imagesvc import observability
from imagesvc.http import problems, request_context

LogLines = Callable[[], list[dict[str, Any]]]
Serve = Callable[[ASGIApp], int]


@pytest.fixture
def log_lines() -> Iterator[LogLines]:
    """Returns the log lines up to now as dicts. During the test, logs are written nowhere else."""
    stream = io.StringIO()
    observability.configure("DEBUG", ["configured-secret-value"], stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    observability.configure("WARNING", stream=io.StringIO())
    structlog.reset_defaults()


@pytest.fixture
def app(log_lines: LogLines) -> FastAPI:
    """Has only the problem handlers and the request context. Tests add routes."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    problems.register(app)
    request_context.register(app, max_body_bytes=1_000)
    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Calls `app` directly, without a server."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves an app as in production (uvloop, httptools) on a free loopback port; returns the port."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: ASGIApp) -> int:
        config = uvicorn.Config(
            app, host="127.0.0.1", port=0, loop="uvloop", http="httptools", log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            thread.join(0.01)
        port: int = server.servers[0].sockets[0].getsockname()[1]
        return port

    yield start
    for server, thread in running:
        server.force_exit = server.should_exit = True
        thread.join(20)
