"""`imagesvc up`: the servers, the bucket, the schema, the API and a worker, as one supervised process tree."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape

from imagesvc.cli.process_registry import Ledger
from imagesvc.cli.progress import Progress
from imagesvc.cli.serve import (
    EXIT_FAILED,
    EXIT_USAGE,
    SettingsWrong,
    bound_socket,
    complain,
    require_public_url,
)
from imagesvc.cli.serve import settings_from as validated
from imagesvc.cli.supervisor import PartFailed, Supervisor
from imagesvc.embedded import ALL_SERVERS, DataFolder, EmbeddedError, EmbeddedServers, ProcessSpec
from imagesvc.embedded.data_folder import write_private
from imagesvc.embedded.readiness import answers_ok
from imagesvc.settings import Settings

# which setting names a server of one's own, and what must come with it
NAMES = {
    "postgres": ("IMAGESVC_DATABASE_URL",),
    "valkey": ("IMAGESVC_REDIS_URL",),
    "weed": ("IMAGESVC_S3_ENDPOINT", "IMAGESVC_S3_ACCESS_KEY", "IMAGESVC_S3_SECRET_KEY"),
}
TITLES = {"postgres": "PostgreSQL", "valkey": "Valkey", "weed": "S3 server", "worker": "worker", "serve": "API"}
STOPPED_BY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_up(data_dir: Path, *, host: str | None, port: int | None) -> int:
    if sys.platform != "linux":
        complain("`imagesvc up` needs Linux; elsewhere run `serve` and `worker` against servers of your own")
        return EXIT_FAILED
    try:
        _require_whole_groups()
        with DataFolder(data_dir) as data:
            return asyncio.run(_Up(data, host=host, port=port).run())
    except SettingsWrong as wrong:
        complain(str(wrong))
        return EXIT_USAGE
    except (EmbeddedError, PartFailed) as failed:
        complain(str(failed))
    except OSError as error:
        complain(f"{error.strerror}: {error.filename}" if error.filename else str(error))
    return EXIT_FAILED


def _require_whole_groups() -> None:
    """Raises SettingsWrong when a server is named without what is needed to use it."""
    for variables in NAMES.values():
        if variables[0] in os.environ:
            for variable in variables[1:]:
                if variable not in os.environ:
                    raise SettingsWrong(f"{variable} is not set: {variables[0]} names a server, and it needs this too")


class _Up:
    def __init__(self, data: DataFolder, *, host: str | None, port: int | None) -> None:
        self._data = data
        self._progress = Progress()
        self._supervisor = Supervisor(Ledger(data.run / "processes.json"), self._news)
        wanted = frozenset(name for name, variables in NAMES.items() if variables[0] not in os.environ)
        self._servers = EmbeddedServers(data, wanted=wanted, bucket=os.environ.get("IMAGESVC_S3_BUCKET", "imagesvc"))
        self._external = ALL_SERVERS - wanted
        self._given = {"host": host, "port": port}

    async def run(self) -> int:
        """Until a signal; 0 when it was one. Raises PartFailed or EmbeddedError when the start fails."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        signals = 0

        def on_signal() -> None:
            nonlocal signals
            signals += 1
            stop.set()

        for number in STOPPED_BY:
            loop.add_signal_handler(number, on_signal)
        rising = asyncio.create_task(self._rise())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((rising, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                rising.result()
                await stopping
            self._progress.say("stopping …")
        finally:
            rising.cancel()
            stopping.cancel()
            await asyncio.gather(rising, stopping, return_exceptions=True)
            await self._supervisor.stop(hurry=lambda: signals > 1)
        self._progress.say("stopped")
        return 0

    async def _rise(self) -> None:
        """Servers, bucket and schema, API and worker, in this order; then the URL and the token."""
        for name in await asyncio.to_thread(self._supervisor.end_leftovers):
            self._news(f"{name} was left running by an earlier run and has been stopped")
        servers = self._servers
        parts = await self._progress.step("data folder", servers.prepare())
        environment = self._environment()
        settings = validated(**_fields(environment))
        require_public_url(settings)
        # the socket is closed at once: it only tells, before the long part, whether the port is free, or which is
        with bound_socket(settings.host, settings.port) as free:
            environment["IMAGESVC_PORT"] = str(free.getsockname()[1])
        settings = validated(**_fields(environment))
        # the schema is made while the S3 server, the slowest to start, is still starting
        weed = [part for part in parts if part.name == "weed"]
        patience = ("--wait", str(weed[0].start_seconds)) if weed else ()
        migrate = self._own("migrate", ("migrate", "--create-bucket", *patience), environment)

        async def make_schema() -> None:
            await self._start(part for part in parts if part.name != "weed")
            await servers.create_database()
            self._tell_servers()
            await self._progress.step("schema and bucket", self._supervisor.run_once(migrate))

        await all_of((make_schema(), self._start(weed)))

        async def ready() -> bool:
            return await answers_ok(settings.host, settings.port, "/readyz")

        patience_seconds = settings.shutdown_seconds + 5
        worker = self._own("worker", ("worker",), environment, stop_seconds=patience_seconds)
        api = self._own("serve", ("serve",), environment, ready=ready, stop_seconds=patience_seconds)
        await self._start([worker, api])
        self._announce(settings)

    async def _start(self, parts: Iterable[ProcessSpec]) -> None:
        await all_of(self._progress.step(TITLES[part.name], self._supervisor.start([part])) for part in parts)

    def _tell_servers(self) -> None:
        """For the commands of operators, which work on the servers of whichever `up` keeps its data in this folder."""
        postgres, weed = self._servers.postgres, self._servers.seaweedfs
        addresses = {
            "database-url": postgres.url if postgres else None,
            "s3-endpoint": weed.endpoint if weed else None,
        }
        for name, value in addresses.items():
            told = self._data.secrets / name
            if value is None:
                told.unlink(missing_ok=True)
            else:
                write_private(told, value + "\n")

    def _environment(self) -> dict[str, str]:
        """That of our processes: ours, the servers' addresses, and the secrets, made the first time and kept."""

        environment = dict(os.environ) | self._servers.environment()
        if "IMAGESVC_ADMIN_TOKEN" not in environment:
            environment["IMAGESVC_ADMIN_TOKEN"] = self._data.get_or_create_secret(
                "admin-token", lambda: secrets.token_urlsafe(32)
            )
        if "IMAGESVC_SECRET_KEYS" not in environment:
            environment["IMAGESVC_SECRET_KEYS"] = self._data.get_or_create_secret(
                "secret-keys", lambda: f"k1:{secrets.token_hex(32)}"
            )
        for name, value in self._given.items():
            if value is not None:
                environment[f"IMAGESVC_{name.upper()}"] = str(value)
        return environment

    def _own(
        self,
        name: str,
        arguments: tuple[str, ...],
        environment: Mapping[str, str],
        *,
        ready: Any = None,
        stop_seconds: float = 10.0,
    ) -> ProcessSpec:
        """A process of ours. Its secrets are in its environment, never among its arguments."""
        return ProcessSpec(
            name=name,
            # -P: what lies in the working folder is not imported
            argv=(sys.executable, "-P", "-m", "imagesvc", *arguments),
            env=environment,
            folder=Path.cwd(),
            log=self._data.logs / f"{name}.log",
            ready=ready or _at_once,
            stop_seconds=stop_seconds,
        )

    def _announce(self, settings: Settings) -> None:
        url = settings.base_url
        kept, was_shown = self._data.secrets / "admin-token", self._data.run / "token-shown"
        if "IMAGESVC_ADMIN_TOKEN" in os.environ:
            shown = "the one in IMAGESVC_ADMIN_TOKEN"
        elif was_shown.exists():
            shown = f"in {kept}"
        else:
            shown = f"{kept.read_text().strip()}   (shown this once; kept in {kept})"
            was_shown.touch(mode=0o600)
        sys.stdout.write(f"\nURL    {url}\nToken  {shown}\nDocs   {url}/docs\nLogs   {self._data.logs}\n\n")
        sys.stdout.flush()

    def _news(self, line: str) -> None:
        self._progress.say(f"[yellow]![/] {escape(line)}")


async def _at_once() -> bool:
    return True


def _fields(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings in an environment by their names in Settings."""
    prefix = "IMAGESVC_"
    return {name.removeprefix(prefix).lower(): value for name, value in environment.items() if name.startswith(prefix)}


async def all_of(works: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """Do them side by side; when one fails the others are cancelled, and its error is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
