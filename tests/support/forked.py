"""APIs and workers as separate processes. They start fast, because the fork server has imported everything."""

import asyncio
import contextlib
import multiprocessing
from collections.abc import Iterator
from typing import Any

from imagesvc.settings import Settings

FORK_SERVER = multiprocessing.get_context("forkserver")
FORK_SERVER.set_forkserver_preload(
    ["imagesvc.main", "imagesvc.worker", "imagesvc.cli.serve", "imagesvc.cli.http_server"]
)


def _serve(given: dict[str, Any], port: int) -> None:
    from imagesvc.cli.http_server import WebServer
    from imagesvc.cli.serve import bound_socket
    from imagesvc.main import create_app

    settings = Settings(**given)
    app = create_app(settings)
    WebServer(app, settings, cancel_requests=app.state.under_way.end).run(sockets=[bound_socket("127.0.0.1", port)])


def _work(given: dict[str, Any]) -> None:
    from imagesvc import worker

    worker.main(Settings(**given))


class Forked:
    """A process that runs what `imagesvc serve` (with ``port``) or `imagesvc worker` (without) runs."""

    def __init__(self, settings: Settings, *, port: int | None = None) -> None:
        given = settings.model_dump(exclude_unset=True)
        self._given, self._port = given, port
        self._process: Any = None

    def start(self) -> None:
        """Start the process."""
        if self._port is None:
            self._process = FORK_SERVER.Process(target=_work, args=(self._given,))
        else:
            self._process = FORK_SERVER.Process(target=_serve, args=(self._given, self._port))
        self._process.start()

    async def end(self, *, kill: bool) -> int:
        """Send SIGKILL or SIGTERM and wait for the exit. Returns the exit code."""
        (self._process.kill if kill else self._process.terminate)()
        await asyncio.to_thread(self._process.join)
        return int(self._process.exitcode)

    async def restart(self, *, kill: bool) -> None:
        """``end`` and start again."""
        await self.end(kill=kill)
        self.start()


@contextlib.contextmanager
def running(*processes: Forked) -> Iterator[None]:
    """Run the processes within the block and kill them afterwards."""
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process._process.kill()
            process._process.join()
