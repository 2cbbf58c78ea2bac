"""An API that kills itself after a chosen step of its work with PostgreSQL or S3: no other program can be told to.

As a program it imports everything once and then forks an API for each number that it reads: ``0`` lives until ``end``,
``n`` dies (SIGKILL) as soon as its n-th statement, commit or S3 request is done. ``MortalApi`` is the test's end of it.
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


class Steps:
    """Counts down to the end of this process; 0 never gets there."""

    left = 0

    @classmethod
    def done(cls) -> None:
        cls.left -= 1
        if cls.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class MortalDatabase(Database):
    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        event.listen(self.engine.sync_engine, "checkin", lambda *_: Steps.done())

    async def _run(self, *arguments: Any) -> Any:
        found = await super()._run(*arguments)
        Steps.done()
        return found


class MortalStorage(Storage):
    async def put(self, *arguments: Any, **named: Any) -> None:
        await super().put(*arguments, **named)
        Steps.done()

    async def begin_multipart(self, *arguments: Any, **named: Any) -> str:
        upload_id = await super().begin_multipart(*arguments, **named)
        Steps.done()
        return upload_id

    async def put_part(self, *arguments: Any, **named: Any) -> str:
        etag = await super().put_part(*arguments, **named)
        Steps.done()
        return etag

    async def complete_multipart(self, *arguments: Any, **named: Any) -> None:
        await super().complete_multipart(*arguments, **named)
        Steps.done()

    async def read(self, *arguments: Any, **named: Any) -> AsyncIterator[bytes]:
        async for chunk in super().read(*arguments, **named):
            yield chunk
        Steps.done()


class MortalApi:
    """``async with`` starts the program. One API lives at a time."""

    def __init__(self, settings: Settings) -> None:
        assert settings.admin_token is not None
        self._settings = settings
        self._bearer = {"Authorization": f"Bearer {settings.admin_token.get_secret_value()}"}

    async def __aenter__(self) -> Self:
        self._program = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.support.mortal_api"),
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
        """A new API, and a client of its own for it."""
        self._tell(dies_after)
        url = f"http://127.0.0.1:{await self._told()}"
        return httpx.AsyncClient(base_url=url, headers=self._bearer, timeout=60, verify=False)

    async def end(self) -> None:
        """Kills the API unless it is dead."""
        self._tell("end")
        await self._told()

    def _tell(self, word: Any) -> None:
        assert self._program.stdin is not None
        self._program.stdin.write(json.dumps(word).encode() + b"\n")

    async def _told(self) -> Any:
        assert self._program.stdout is not None
        async with asyncio.timeout(60):
            return json.loads(await self._program.stdout.readline())


class MortalServer(uvicorn.Server):
    """Tells its port, and counts from then on."""

    def __init__(self, config: uvicorn.Config, dies_after: int) -> None:
        super().__init__(config)
        self._dies_after = dies_after

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        Steps.left = self._dies_after
        print(json.dumps(self.servers[0].sockets[0].getsockname()[1]), flush=True)


async def warm(settings: Settings) -> None:
    """Reads the description of S3, which would take each API a tenth of a second."""
    async with Storage(settings) as storage:
        await storage.ping()


async def nothing(_: Database) -> None:
    """As if the schema were the newest."""


def main() -> None:
    # the test's own look at the schema is enough
    for name, mortal in (("Database", MortalDatabase), ("Storage", MortalStorage), ("require_current_schema", nothing)):
        setattr(imagesvc.wiring, name, mortal)
    settings = Settings()
    app = create_app(settings)
    config = uvicorn.Config(app, port=0, log_config=None, access_log=False, lifespan="on", http="httptools")
    config.load()
    asyncio.run(warm(settings))
    gc.collect()
    gc.freeze()  # else each fork would copy what its collector walks through
    living = 0
    for line in sys.stdin:
        word = json.loads(line)
        if word != "end":
            living = os.fork()
            if living == 0:
                uvloop.run(MortalServer(config, word).serve())
                os._exit(1)
        else:
            os.kill(living, signal.SIGKILL)
            os.waitpid(living, 0)
            living = 0
            print(json.dumps("ended"), flush=True)
    if living:
        os.kill(living, signal.SIGKILL)


if __name__ == "__main__":
    main()
