"""Runs the processes separately: the API, a worker, the migrations."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

from imagesvc.cli.environment import (
    LISTENER_VARIABLE,
    UNUSED_OTHERS,
    UNUSED_STORAGE,
    require_public_url,
    say_ready,
    settings_from,
    unless_set,
)
from imagesvc.cli.errors import EXIT_FAILED, EXIT_USAGE, CommandFailed, InvalidSettings, print_error, printable
from imagesvc.settings import Settings

RETRY_SECONDS = 0.1


def bound_socket(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet. Raises InvalidSettings when the port is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise InvalidSettings(
            f"cannot listen on {host}, port {port}: {os.strerror(error.errno) if error.errno else error}; "
            "choose another with --port or --host"
        ) from error
    return bound


def run_api(*, host: str | None, port: int | None, processes: int | None) -> int:
    """Serve until a signal. Returns the exit code."""
    try:
        settings = settings_from(host=host, port=port, api_processes=processes)
        require_public_url(settings)
        inherited = os.environ.pop(LISTENER_VARIABLE, None)
        listener = socket.socket(fileno=int(inherited)) if inherited else bound_socket(settings.host, settings.port)
        if settings.port == 0:
            settings = settings_from(host=host, port=listener.getsockname()[1], api_processes=processes)
        if inherited is None:  # otherwise the parent did
            asyncio.run(require_schema(settings))
    except InvalidSettings as invalid:
        print_error(str(invalid))
        return EXIT_USAGE
    except CommandFailed as failed:
        print_error(str(failed))
        return EXIT_FAILED
    if settings.api_processes > 1:
        return _run_api_processes(settings, listener)
    # imported late, so that invalid settings are reported without the time of these imports
    from imagesvc.cli.http_server import WebServer
    from imagesvc.main import create_app

    app = create_app(settings)
    server = WebServer(app, settings, cancel_requests=app.state.under_way.end)
    server.run(sockets=[listener])
    return 0 if server.started else EXIT_FAILED


def _run_api_processes(settings: Settings, listener: socket.socket) -> int:
    """The processes accept from one socket: the next free one takes a connection, and none is lost with a process."""
    from imagesvc.cli.processes import Program, run_processes

    descriptor = listener.detach()
    environment = {
        "IMAGESVC_HOST": settings.host,
        "IMAGESVC_PORT": str(settings.port),
        LISTENER_VARIABLE: str(descriptor),
    }
    program = Program(
        name="serve",
        count=settings.api_processes,
        environment=environment,
        first_only={},
        inherited=(descriptor,),
    )
    return run_processes(program, settings)


def _run_workers(settings: Settings) -> int:
    """The first one serves the metrics of all."""
    from imagesvc.cli.processes import Program, run_processes

    variable, port = "IMAGESVC_WORKER_METRICS_PORT", settings.worker_metrics_port
    first_only = {} if port is None else {variable: str(port)}
    program = Program(name="worker", count=settings.worker_processes, environment={}, first_only=first_only)
    return run_processes(program, settings)


def run_worker(*, processes: int | None) -> int:
    """Work until a signal. Returns the exit code."""
    try:
        settings = settings_from(worker_processes=processes)
        asyncio.run(require_schema(settings))
    except InvalidSettings as invalid:
        print_error(str(invalid))
        return EXIT_USAGE
    except CommandFailed as failed:
        print_error(str(failed))
        return EXIT_FAILED
    if settings.worker_processes > 1:
        return _run_workers(settings)
    from imagesvc import worker
    from imagesvc.metrics.endpoint import PortInUse

    try:
        worker.main(settings, on_ready=say_ready)
    except PortInUse as in_use:
        print_error(f"{in_use}; choose another with IMAGESVC_WORKER_METRICS_PORT")
        return EXIT_FAILED
    return 0


def run_migrations(*, create_bucket: bool, wait_seconds: float) -> int:
    """Returns the exit code."""
    unused = UNUSED_OTHERS if create_bucket else UNUSED_OTHERS | UNUSED_STORAGE
    try:
        settings = settings_from(**unless_set(unused))
    except InvalidSettings as invalid:
        print_error(str(invalid))
        return EXIT_USAGE
    return asyncio.run(_migrate(settings, create_bucket=create_bucket, wait_seconds=wait_seconds))


async def require_schema(settings: Settings) -> None:
    """Raises CommandFailed when the database is unreachable or its schema is not the newest."""
    from imagesvc.db import Database
    from imagesvc.db_connections import CONNECT_ERRORS, DatabaseAway
    from imagesvc.pooler import UnusablePooler, require_usable_pooler
    from imagesvc.schema_version import SchemaOutdated, require_current_schema

    database = Database(settings)
    try:
        await require_usable_pooler(settings)
        await require_current_schema(database)
    except (SchemaOutdated, UnusablePooler) as wrong:
        raise CommandFailed(str(wrong)) from wrong
    except (DatabaseAway, *CONNECT_ERRORS) as error:
        raise CommandFailed(_unreachable(error)) from error
    finally:
        await database.close()


def _unreachable(error: Exception) -> str:
    """What failed, with the words of the server, which name users and databases but no password."""
    cause = error.__cause__ or error
    if isinstance(cause, TimeoutError):  # also an OSError; its text is empty
        return "the database of IMAGESVC_DATABASE_URL cannot be reached: it did not answer within 5 s"
    words = " ".join(printable(cause).split()) or type(cause).__name__
    if "startup parameter" in words:
        words += "; behind a pooler, set IMAGESVC_DATABASE_POOLER to its mode: session or transaction"
    return f"the database of IMAGESVC_DATABASE_URL cannot be reached: {words}"


async def _migrate(settings: Settings, *, create_bucket: bool, wait_seconds: float) -> int:
    from imagesvc.db_connections import CONNECT_ERRORS, DatabaseAway
    from imagesvc.pooler import store_session_settings
    from imagesvc.schema_version import SchemaOutdated, upgrade
    from imagesvc.storage.bucket import Storage, StorageAway

    async def make_bucket() -> None:
        async with Storage(settings) as storage:
            await storage.ensure_bucket()

    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_seconds
    steps: list[Callable[[], Awaitable[None]]] = [lambda: upgrade(settings), lambda: store_session_settings(settings)]
    if create_bucket:
        steps.append(make_bucket)
    for step in steps:
        while True:
            try:
                await step()
                break
            except SchemaOutdated as newer:
                print_error(str(newer))
                return EXIT_FAILED
            except (DatabaseAway, *CONNECT_ERRORS) as error:
                message = _unreachable(error)
            except StorageAway:
                message = f"the S3 server {settings.s3_endpoint} is unavailable or refuses bucket {settings.s3_bucket}"
            if loop.time() > deadline:
                print_error(message)
                return EXIT_FAILED
            await asyncio.sleep(RETRY_SECONDS)
    return 0
