"""A minimal ASGI application that receives a file, hashes it and PUTs it with the service's own S3 client.

It has no links, database, queue, limits or log: the lower bound for an upload in this language with these libraries.
"""

import json
import time
from hashlib import sha256
from typing import Any

from imagesvc.cli.http_server import WebServer
from imagesvc.settings import Settings
from imagesvc.storage.bucket import Storage, new_key


class BareApp:
    def __init__(self, settings: Settings) -> None:
        self._storage = Storage(settings)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._run_lifespan(receive, send)
        elif scope["method"] == "GET":
            await _respond(send, 200, b"alive")
        else:
            digest, body, more = sha256(), bytearray(), True
            while more:
                message = await receive()
                chunk, more = message.get("body", b""), message.get("more_body", False)
                digest.update(chunk)
                body += chunk
            key = new_key("o")
            await self._storage.put(key, body, media_type="image/jpeg", until=time.monotonic() + 3600)
            await _respond(send, 201, json.dumps({"sha256": digest.hexdigest(), "key": key}).encode())

    async def _run_lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        async with self._storage:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


async def _respond(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    settings = Settings()
    WebServer(BareApp(settings), settings, cancel_requests=lambda: None).run()
