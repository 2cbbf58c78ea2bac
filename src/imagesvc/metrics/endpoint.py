"""The metrics port of the worker: every path returns the metrics page.

The event loop that runs the tasks also serves this port, so a worker that hangs does not look healthy.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

import uvicorn

from imagesvc.metrics.exposition import MEDIA_TYPE, MetricsPage

Send = Callable[[Mapping[str, object]], Awaitable[None]]


class PortInUse(Exception):
    """The address cannot be bound. The text contains the address and the reason."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signal handling to the worker."""
        yield


@contextlib.asynccontextmanager
async def serve_metrics(page: MetricsPage, *, host: str, port: int) -> AsyncIterator[int]:
    """Serve the page within the block; yields the port. With port 0 the kernel chooses one. Raises PortTaken."""

    async def answer(scope: object, receive: object, send: Send) -> None:
        body = await page.text()
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    with contextlib.closing(listener):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()  # now no other process can bind the port, and clients wait until the server has started
        except OSError as error:
            raise PortInUse(f"cannot listen on {host}, port {port}: {error.strerror}") from error
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
