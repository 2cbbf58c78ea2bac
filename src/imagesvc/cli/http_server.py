"""The uvicorn server of a web process, with a graceful shutdown."""

import asyncio
import gc
import math
import socket
from collections.abc import Awaitable, Callable

import uvicorn

from imagesvc.cli.environment import say_ready
from imagesvc.settings import Settings

ANSWER_SECONDS = 4
"""Time after the shutdown timeout for requests to answer 503 and to undo what they had started."""


class WebServer(uvicorn.Server):
    """``cancel_requests`` is called when running requests have not finished within the shutdown timeout."""

    def __init__(
        self, app: Callable[..., Awaitable[None]], settings: Settings, *, cancel_requests: Callable[[], None]
    ) -> None:
        self._cancel_requests = cancel_requests
        self._shutdown_seconds = settings.shutdown_seconds
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                loop="uvloop",
                http="httptools",
                ws="none",
                lifespan="on",
                # the service logs requests itself: an access log would contain the tokens of links
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=list(settings.trusted_proxies),
                timeout_graceful_shutdown=math.ceil(settings.shutdown_seconds) + ANSWER_SECONDS,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # modules, routes and the S3 client's model live as long as the process: frozen, the garbage collector no longer
        # traverses these hundred thousands of objects
        gc.collect()
        gc.freeze()
        say_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections; running requests finish, and those left after the timeout answer 503."""
        timer = asyncio.get_running_loop().call_later(self._shutdown_seconds, self._cancel_requests)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()
