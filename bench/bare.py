"""A bare ASGI app that only receives a file, hashes it and PUTs it with the service's own client.

No link, no database, no queue, no limits, no log: what an upload costs at least in this language with these libraries.
"""

import json
import time
from hashlib import sha256
from typing import Any

from starlette.datastructures import State

from imagesvc.cli.http_server import WebServer
from imagesvc.http.graceful_shutdown import RunningRequests
from imagesvc.settings import Settings
from imagesvc.storage.bucket import Storage, new_key


class Bare:
    def __init__(self, settings: Settings) -> None:
        self._storage = Storage(settings)
        self.state = State({"under_way": RunningRequests()})  # what the web server ends when it is told to stop

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["method"] == "GET":
            await _answer(send, 200, b"alive")
        else:
            digest, body, more = sha256(), bytearray(), True
            while more:
                message = await receive()
                chunk, more = message.get("body", b""), message.get("more_body", False)
                digest.update(chunk)
                body += chunk
            key = new_key("o")
            await self._storage.put(key, body, media_type="image/jpeg", until=time.monotonic() + 3600)
            await _answer(send, 201, json.dumps({"sha256": digest.hexdigest(), "key": key}).encode())

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        async with self._storage:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


async def _answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    settings = Settings()
    WebServer(Bare(settings), settings).run()
