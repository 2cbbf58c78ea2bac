"""`imagesvc up`: runs the servers, the API and a worker on this machine, as one supervised process tree."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from pathlib import Path

from rich.markup import escape

from imagesvc.cli.environment import require_public_url, settings_from
from imagesvc.cli.errors import EXIT_FAILED, EXIT_USAGE, InvalidSettings, print_error
from imagesvc.cli.process_registry import ProcessRegistry
from imagesvc.cli.progress import StepProgress
from imagesvc.cli.serve import bound_socket
from imagesvc.cli.supervisor import ProcessFailed, Supervisor
from imagesvc.cores import usable_cores
from imagesvc.embedded import DataFolder, EmbeddedError, EmbeddedServers, ProcessSpec
from imagesvc.embedded.data_folder import write_private
from imagesvc.embedded.readiness import answers_ok
from imagesvc.settings import Settings, default_worker_processes

EXTERNAL_SERVERS = {
    "postgres": ("IMAGESVC_DATABASE_URL",),
    "valkey": ("IMAGESVC_REDIS_URL",),
    "weed": ("IMAGESVC_S3_ENDPOINT", "IMAGESVC_S3_ACCESS_KEY", "IMAGESVC_S3_SECRET_KEY"),
}
"""The first variable names an external server, which replaces the local one; the others are required with it."""
TITLES = {"postgres": "PostgreSQL", "valkey": "Valkey", "weed": "S3 server", "worker": "worker", "serve": "API"}
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CORES_PER_API = 2
"""The other one is for the worker and the servers."""
STOP_MARGIN_SECONDS = 8
"""How much longer than their shutdown timeout the API and the worker have to stop before they are killed."""


def run_up(data_dir: Path, *, host: str | None, port: int | None) -> int:
    """Run until a signal. Returns the exit code."""
    if sys.platform != "linux":
        print_error("`imagesvc up` requires Linux; elsewhere run `serve` and `worker` against your own servers")
        return EXIT_FAILED
    try:
        _require_complete_servers()
        with DataFolder(data_dir) as data:
            return asyncio.run(_LocalInstance(data, host=host, port=port).run())
    except InvalidSettings as invalid:
        print_error(str(invalid))
        return EXIT_USAGE
    except (EmbeddedError, ProcessFailed) as failed:
        print_error(str(failed))
    except OSError as error:
        print_error(f"{error.strerror}: {error.filename}" if error.filename else str(error))
    return EXIT_FAILED


def _require_complete_servers() -> None:
    """Raises InvalidSettings when a server is named without the other variables that it requires."""
    for first, *others in EXTERNAL_SERVERS.values():
        if first in os.environ:
            for variable in others:
                if variable not in os.environ:
                    raise InvalidSettings(f"{variable} is not set: it is required together with {first}")


class _LocalInstance:
    def __init__(self, data: DataFolder, *, host: str | None, port: int | None) -> None:
        self._data = data
        self._progress = StepProgress()
        self._supervisor = Supervisor(ProcessRegistry(data.run / "processes.json"), self._notify)
        local = frozenset(name for name, variables in EXTERNAL_SERVERS.items() if variables[0] not in os.environ)
        self._api_processes = _count_in("IMAGESVC_API_PROCESSES", max(1, usable_cores() // CORES_PER_API))
        workers = _count_in("IMAGESVC_WORKER_PROCESSES", default_worker_processes())
        self._servers = EmbeddedServers(
            data,
            wanted=local,
            bucket=os.environ.get("IMAGESVC_S3_BUCKET", "imagesvc"),
            processes=self._api_processes + workers,
        )
        self._options = {"host": host, "port": port}

    async def run(self) -> int:
        """Run until a signal and return 0. Raises ProcessFailed or EmbeddedError when the start fails."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        signals = 0

        def on_signal() -> None:
            nonlocal signals
            signals += 1
            stop.set()

        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, on_signal)
        starting = asyncio.create_task(self._start_all())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                starting.result()
                await stopping
            self._progress.print("stopping …")
        finally:
            starting.cancel()
            stopping.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)
            await self._supervisor.stop(hurry=lambda: signals > 1)
        self._progress.print("stopped")
        return 0

    async def _start_all(self) -> None:
        """Start servers, bucket and schema, API and worker, in this order; then print the URL and the token."""
        for name in await asyncio.to_thread(self._supervisor.stop_orphans):
            self._notify(f"stopped {name}, which an earlier run had left running")
        specs = await self._progress.step("data folder", self._servers.prepare())
        environment = self._environment()
        settings = settings_from(**_settings_in(environment))
        require_public_url(settings)
        # bound and closed at once: reports a port in use before the slow part of the start, and resolves port 0
        with bound_socket(settings.host, settings.port) as free:
            environment["IMAGESVC_PORT"] = str(free.getsockname()[1])
        settings = settings_from(**_settings_in(environment))
        await self._start_servers(specs, environment)
        await self._start_processes(settings, environment)
        self._print_access(settings)

    async def _start_servers(self, specs: Iterable[ProcessSpec], environment: Mapping[str, str]) -> None:
        """The schema is made while the S3 server, the slowest to start, is still starting."""
        s3_server = [spec for spec in specs if spec.name == "weed"]
        others = [spec for spec in specs if spec.name != "weed"]
        wait = ("--wait", str(s3_server[0].start_seconds)) if s3_server else ()
        migrate = self._process("migrate", ("migrate", "--create-bucket", *wait), environment)

        async def make_schema() -> None:
            await self._start(others)
            await self._servers.create_database()
            self._save_addresses()
            await self._progress.step("schema and bucket", self._supervisor.run_once(migrate))

        await run_all((make_schema(), self._start(s3_server)))

    async def _start_processes(self, settings: Settings, environment: Mapping[str, str]) -> None:
        async def is_ready() -> bool:
            return await answers_ok(settings.host, settings.port, "/readyz")

        stop_seconds = settings.shutdown_seconds + STOP_MARGIN_SECONDS
        worker = self._process("worker", ("worker",), environment, stop_seconds=stop_seconds)
        api = self._process("serve", ("serve",), environment, ready=is_ready, stop_seconds=stop_seconds)
        await self._start([worker, api])

    async def _start(self, specs: Iterable[ProcessSpec]) -> None:
        await run_all(self._progress.step(TITLES[spec.name], self._supervisor.start([spec])) for spec in specs)

    def _save_addresses(self) -> None:
        """Save the servers' addresses for operators' commands, which find them by the data folder."""
        postgres, s3_server = self._servers.postgres, self._servers.seaweedfs
        addresses = {
            "database-url": postgres.url if postgres else None,
            "s3-endpoint": s3_server.endpoint if s3_server else None,
        }
        for name, value in addresses.items():
            path = self._data.secrets / name
            if value is None:
                path.unlink(missing_ok=True)
            else:
                write_private(path, value + "\n")

    def _environment(self) -> dict[str, str]:
        """This process's environment, the servers' addresses, and secrets that are kept between runs."""
        environment = dict(os.environ) | self._servers.environment()
        if (chosen := os.environ.get("IMAGESVC_S3_SYNC_FOLDER")) is not None:
            environment["IMAGESVC_S3_SYNC_FOLDER"] = chosen
        if "IMAGESVC_ADMIN_TOKEN" not in environment:
            environment["IMAGESVC_ADMIN_TOKEN"] = self._data.get_or_create_secret(
                "admin-token", lambda: secrets.token_urlsafe(32)
            )
        if "IMAGESVC_SECRET_KEYS" not in environment:
            environment["IMAGESVC_SECRET_KEYS"] = self._data.get_or_create_secret(
                "secret-keys", lambda: f"k1:{secrets.token_hex(32)}"
            )
        environment.setdefault("IMAGESVC_API_PROCESSES", str(self._api_processes))
        for name, value in self._options.items():
            if value is not None:
                environment[f"IMAGESVC_{name.upper()}"] = str(value)
        return environment

    def _process(
        self,
        name: str,
        arguments: tuple[str, ...],
        environment: Mapping[str, str],
        *,
        ready: Callable[[], Awaitable[bool]] | None = None,
        stop_seconds: float = 10.0,
    ) -> ProcessSpec:
        """A process that runs an `imagesvc` command. Secrets are in its environment, never in its arguments."""
        return ProcessSpec(
            name=name,
            # -P: modules in the working folder are not imported
            argv=(sys.executable, "-P", "-m", "imagesvc", *arguments),
            env=environment,
            folder=Path.cwd(),
            log=self._data.logs / f"{name}.log",
            ready=ready or _ready_at_once,
            stop_seconds=stop_seconds,
        )

    def _print_access(self, settings: Settings) -> None:
        """Print the URL and, at the first start only, the admin token."""
        url = settings.base_url
        kept, shown_before = self._data.secrets / "admin-token", self._data.run / "token-shown"
        if "IMAGESVC_ADMIN_TOKEN" in os.environ:
            token = "the one in IMAGESVC_ADMIN_TOKEN"  # noqa: S105
        elif shown_before.exists():
            token = f"in {kept}"
        else:
            token = f"{kept.read_text().strip()}   (shown only once; kept in {kept})"
            shown_before.touch(mode=0o600)
        lines = (
            f"URL    {url}",
            f"Pages  {url}/admin",
            f"Token  {token}",
            f"Docs   {url}/docs",
            f"Logs   {self._data.logs}",
        )
        sys.stdout.write("\n{}\n\n".format("\n".join(lines)))
        sys.stdout.flush()

    def _notify(self, line: str) -> None:
        self._progress.print(f"[yellow]![/] {escape(line)}")


def _count_in(variable: str, default: int) -> int:
    """The number in a variable. A mistake in it is reported later, with those of all settings."""
    value = os.environ.get(variable, "")
    return int(value) if value.isdecimal() and int(value) > 0 else default


async def _ready_at_once() -> bool:
    return True


def _settings_in(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings in an environment, by the names of Settings' fields."""
    prefix = "IMAGESVC_"
    return {name.removeprefix(prefix).lower(): value for name, value in environment.items() if name.startswith(prefix)}


async def run_all(works: Iterable[Coroutine[None, None, object]]) -> None:
    """Run them concurrently; when one fails, the others are cancelled and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
