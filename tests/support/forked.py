"""Parts of the service as processes of their own, forked from one that has imported everything: so a start is cheap."""

import asyncio
import contextlib
import multiprocessing
from collections.abc import Iterator
from typing import Any

from imagesvc.settings import Settings

STARTS = multiprocessing.get_context("forkserver")
STARTS.set_forkserver_preload(["imagesvc.main", "imagesvc.worker", "imagesvc.cli.serve", "imagesvc.cli.http_server"])


def _serve(given: dict[str, Any], port: int) -> None:
    from imagesvc.cli.http_server import WebServer
    from imagesvc.cli.serve import bound_socket
    from imagesvc.main import create_app

    settings = Settings(**given)
    WebServer(create_app(settings), settings).run(sockets=[bound_socket("127.0.0.1", port)])


def _work(given: dict[str, Any]) -> None:
    from imagesvc import worker

    worker.main(Settings(**given))


class Forked:
    """An API on ``port``, or without one a worker; what `imagesvc serve` and `imagesvc worker` run."""

    def __init__(self, settings: Settings, *, port: int | None = None) -> None:
        given = settings.model_dump(exclude_unset=True)
        self._given, self._port = given, port
        self._process: Any = None

    def start(self) -> None:
        if self._port is None:
            self._process = STARTS.Process(target=_work, args=(self._given,))
        else:
            self._process = STARTS.Process(target=_serve, args=(self._given, self._port))
        self._process.start()

    async def end(self, *, kill: bool) -> int:
        """SIGKILL or SIGTERM; waits for the end and tells the exit code."""
        (self._process.kill if kill else self._process.terminate)()
        await asyncio.to_thread(self._process.join)
        return int(self._process.exitcode)

    async def restart(self, *, kill: bool) -> None:
        await self.end(kill=kill)
        self.start()


@contextlib.contextmanager
def running(*parts: Forked) -> Iterator[None]:
    for part in parts:
        part.start()
    try:
        yield
    finally:
        for part in parts:
            part._process.kill()
            part._process.join()
