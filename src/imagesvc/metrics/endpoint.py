"""The worker's own port: any path answers with its page of metrics.

It is served by the event loop that does the work, so that a worker which hangs does not look alive.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn

from imagesvc.metrics.exposition import MEDIA_TYPE, Page


class PortTaken(Exception):
    """Nobody can listen on that address; the text says which and why."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the worker's own business."""
        yield


@contextlib.asynccontextmanager
async def serving(page: Page, *, host: str, port: int) -> AsyncIterator[int]:
    """Answer on that port (0: any free one, which is told) inside the block. Raises PortTaken."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        body = await page.text()
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    with contextlib.closing(listener):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()  # from here on nobody else can bind it, and who connects waits for the server to start
        except OSError as error:
            raise PortTaken(f"cannot listen on {host}, port {port}: {error.strerror}") from error
        config = uvicorn.Config(
            answer,
            interface="asgi3",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task
