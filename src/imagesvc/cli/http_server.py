"""How a web process serves an application."""

import asyncio
import gc
import math
import socket
from typing import Any

import uvicorn

from imagesvc.settings import Settings

ANSWER_SECONDS = 4
"""What is left after the requests' time: for their last answers, and for undoing what they had begun."""


class WebServer(uvicorn.Server):
    def __init__(self, app: Any, settings: Settings) -> None:
        self._under_way = app.state.under_way
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
                # we log ourselves: an access log would show links' tokens
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
        # modules, routes and the S3 client's model stay as long as the process: walking through those hundred thousands
        # of objects again and again would find nothing
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Nobody is let in any more; who is in has a while, and is told to come again after it."""
        ending = asyncio.get_running_loop().call_later(self._shutdown_seconds, self._under_way.end)
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()
