"""How a web process serves an application."""

import gc
import socket
from typing import Any

import uvicorn

from imagesvc.settings import Settings


class WebServer(uvicorn.Server):
    def __init__(self, app: Any, settings: Settings) -> None:
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
                timeout_graceful_shutdown=8,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # modules, routes and the S3 client's model stay as long as the process: walking through those hundred thousands
        # of objects again and again would find nothing
        gc.collect()
        gc.freeze()
