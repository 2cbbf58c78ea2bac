"""An API that kills itself after its n-th step with PostgreSQL or S3, to test a crash at every point of a request.

As a program, this module imports everything once and forks an API for each number that it reads on stdin. With ``0``
the API runs until ``end``; with ``n`` it sends itself SIGKILL when its n-th statement, commit or S3 request is done.
``CrashingApi`` controls the program from the test.
"""

import asyncio
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import httpx
import uvicorn
import uvloop
from sqlalchemy import event

import imagesvc.wiring
from imagesvc.db import Database
from imagesvc.main import create_app
from imagesvc.settings import Settings
from imagesvc.storage.bucket import Storage
from tests.support.processes import environment


class StepCounter:
    """Counts down the steps and kills this process at zero. It starts at 0, which disables it."""

    left = 0

    @classmethod
    def done(cls) -> None:
        """Count one finished step."""
        cls.left -= 1
        if cls.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class CrashingDatabase(Database):
    """Counts statements, and returned connections of the ORM."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        event.listen(self.engine.sync_engine, "checkin", lambda *_: StepCounter.done())

    async def _run(self, *arguments: Any) -> Any:
        found = await super()._run(*arguments)
        StepCounter.done()
        return found


class CrashingStorage(Storage):
    """Counts S3 requests."""

    async def put(self, *arguments: Any, **named: Any) -> None:
        await super().put(*arguments, **named)
        StepCounter.done()

    async def begin_multipart(self, *arguments: Any, **named: Any) -> str:
        upload_id = await super().begin_multipart(*arguments, **named)
        StepCounter.done()
        return upload_id

    async def put_part(self, *arguments: Any, **named: Any) -> str:
        etag = await super().put_part(*arguments, **named)
        StepCounter.done()
        return etag

    async def complete_multipart(self, *arguments: Any, **named: Any) -> None:
        await super().complete_multipart(*arguments, **named)
        StepCounter.done()

    async def read(self, *arguments: Any, **named: Any) -> AsyncIterator[bytes]:
        async for chunk in super().read(*arguments, **named):
            yield chunk
        StepCounter.done()


class CrashingApi:
    """``async with`` starts the program. Only one API runs at a time."""

    def __init__(self, settings: Settings) -> None:
        assert settings.admin_token is not None
        self._settings = settings
        self._bearer = {"Authorization": f"Bearer {settings.admin_token.get_secret_value()}"}

    async def __aenter__(self) -> Self:
        self._program = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.support.crashing_api"),
            env=environment(self._settings),
            cwd=Path(__file__).parents[2],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._program.stdin is not None
        self._program.stdin.close()
        await self._program.wait()

    async def begin(self, *, dies_after: int) -> httpx.AsyncClient:
        """Start an API; returns a client for it."""
        self._send(dies_after)
        url = f"http://127.0.0.1:{await self._receive()}"
        return httpx.AsyncClient(base_url=url, headers=self._bearer, timeout=60, verify=False)

    async def end(self) -> None:
        """Kill the API if it still runs."""
        self._send("end")
        await self._receive()

    def _send(self, command: int | str) -> None:
        assert self._program.stdin is not None
        self._program.stdin.write(json.dumps(command).encode() + b"\n")

    async def _receive(self) -> Any:
        assert self._program.stdout is not None
        async with asyncio.timeout(60):
            return json.loads(await self._program.stdout.readline())


class CrashingServer(uvicorn.Server):
    """Prints its port and then starts to count."""

    def __init__(self, config: uvicorn.Config, dies_after: int) -> None:
        super().__init__(config)
        self._dies_after = dies_after

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        StepCounter.left = self._dies_after
        print(json.dumps(self.servers[0].sockets[0].getsockname()[1]), flush=True)


async def load_s3_model(settings: Settings) -> None:
    """Load the botocore model of S3 before forking: it takes 0.1 s in each API otherwise."""
    async with Storage(settings) as storage:
        await storage.ping()


async def accept_any_schema(_: Database) -> None:
    """Replaces the check of the schema version."""


def main() -> None:
    # the test has checked the schema already
    for name, replacement in (
        ("Database", CrashingDatabase),
        ("Storage", CrashingStorage),
        ("require_current_schema", accept_any_schema),
    ):
        setattr(imagesvc.wiring, name, replacement)
    settings = Settings()
    app = create_app(settings)
    config = uvicorn.Config(app, port=0, log_config=None, access_log=False, lifespan="on", http="httptools")
    config.load()
    asyncio.run(load_s3_model(settings))
    gc.collect()
    gc.freeze()  # the garbage collector of a fork would otherwise copy the pages that it scans
    child = 0
    for line in sys.stdin:
        command = json.loads(line)
        if command != "end":
            child = os.fork()
            if child == 0:
                uvloop.run(CrashingServer(config, command).serve())
                os._exit(1)
        else:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            child = 0
            print(json.dumps("ended"), flush=True)
    if child:
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
