"""The parts run apart: the API, a worker, the migrations. Mistakes in their settings are told kindly."""

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import ValidationError

from imagesvc.settings import Settings

EXIT_FAILED, EXIT_USAGE = 1, 2
RETRY_SECONDS = 0.1
# `migrate` asks for nothing that it does not use
FOR_STORAGE = {"s3_endpoint": "http://unused.invalid", "s3_access_key": "unused", "s3_secret_key": "unused"}
FOR_OTHERS = {"redis_url": "redis://unused.invalid", "secret_keys": f"unused:{'-' * 32}"}


class SettingsWrong(Exception):
    """One line for each wrong setting, with its variable and what to put, never with a value."""


class NotPossible(Exception):
    """The settings are right, but what they name is not there or not as it should be; one line."""


def settings_from(**changes: Any) -> Settings:
    """The environment's settings with ``changes`` on top, those that are None left out. Raises SettingsWrong."""
    try:
        return Settings(**{name: value for name, value in changes.items() if value is not None})
    except ValidationError as error:
        # no input, no context: they hold the values, and values can be secrets
        found = error.errors(include_input=False, include_context=False, include_url=False)
        raise SettingsWrong("\n".join(_told(str(problem["loc"][0]), problem) for problem in found)) from None


def _told(name: str, problem: Any) -> str:
    variable = f"IMAGESVC_{name.upper()}"
    meaning = Settings.model_fields[name].description if name in Settings.model_fields else None
    if problem["type"] == "missing":
        return f"{variable} is not set" + (f": put {meaning}" if meaning else "")
    what = problem["msg"].removeprefix("Value error, ").replace("items after validation", "characters")
    return f"{variable} is wrong: {what}" + (f" ({meaning})" if meaning else "")


def complain(lines: str) -> None:
    for line in lines.splitlines():
        sys.stderr.write(f"imagesvc: {line}\n")


def require_public_url(settings: Settings) -> None:
    """Raises SettingsWrong when strangers can reach us and we do not know under which address."""
    if settings.public_url is None and not is_loopback(settings.host):
        raise SettingsWrong(
            f"IMAGESVC_PUBLIC_URL is not set: needed to listen on {settings.host}, since links are built from it; "
            "put the address that people use, such as https://images.example.org"
        )


def is_loopback(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host == "::1"


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket on that address that does not listen yet. Raises SettingsWrong when the port is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise SettingsWrong(
            f"cannot listen on {host}, port {port}: {os.strerror(error.errno) if error.errno else error}; "
            "name another with --port or --host"
        ) from error
    return bound


def run_api(*, host: str | None, port: int | None) -> int:
    try:
        settings = settings_from(host=host, port=port)
        require_public_url(settings)
        listener = bound_socket(settings.host, settings.port)
        if settings.port == 0:
            settings = settings_from(host=host, port=listener.getsockname()[1])
        asyncio.run(require_schema(settings))
    except SettingsWrong as wrong:
        complain(str(wrong))
        return EXIT_USAGE
    except NotPossible as trouble:
        complain(str(trouble))
        return EXIT_FAILED
    # only now: mistakes in the settings are told at once
    from imagesvc.cli.http_server import WebServer
    from imagesvc.main import create_app

    server = WebServer(create_app(settings), settings)
    server.run(sockets=[listener])
    return 0 if server.started else EXIT_FAILED


def run_worker() -> int:
    try:
        settings = settings_from()
        asyncio.run(require_schema(settings))
    except SettingsWrong as wrong:
        complain(str(wrong))
        return EXIT_USAGE
    except NotPossible as trouble:
        complain(str(trouble))
        return EXIT_FAILED
    from imagesvc import worker
    from imagesvc.metrics.endpoint import PortInUse

    try:
        worker.main(settings)
    except PortInUse as trouble:
        complain(f"{trouble}; name another with IMAGESVC_WORKER_METRICS_PORT")
        return EXIT_FAILED
    return 0


def run_migrations(*, create_bucket: bool, wait_seconds: float) -> int:
    unused = FOR_OTHERS if create_bucket else FOR_OTHERS | FOR_STORAGE
    try:
        settings = settings_from(**_unless_set(unused))
    except SettingsWrong as wrong:
        complain(str(wrong))
        return EXIT_USAGE
    return asyncio.run(_migrate(settings, create_bucket=create_bucket, wait_seconds=wait_seconds))


def _unless_set(values: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if f"IMAGESVC_{name.upper()}" not in os.environ}


async def require_schema(settings: Settings) -> None:
    """Raises NotPossible, before anything else is started, when the schema is not the newest."""
    from imagesvc.db import CONNECTION_ERRORS, Database, DatabaseAway, SchemaOutdated, require_current_schema

    database = Database(settings)
    try:
        await require_current_schema(database)
    except SchemaOutdated as outdated:
        raise NotPossible(str(outdated)) from outdated
    except (DatabaseAway, *CONNECTION_ERRORS) as error:
        raise NotPossible(_away(error)) from error
    finally:
        await database.close()


def _away(error: Exception) -> str:
    return f"the database of IMAGESVC_DATABASE_URL cannot be reached ({type(error.__cause__ or error).__name__})"


async def _migrate(settings: Settings, *, create_bucket: bool, wait_seconds: float) -> int:
    from imagesvc.db import CONNECTION_ERRORS, DatabaseAway, upgrade
    from imagesvc.storage.bucket import Storage, StorageAway

    async def make_bucket() -> None:
        async with Storage(settings) as storage:
            await storage.ensure_bucket()

    loop = asyncio.get_running_loop()
    give_up = loop.time() + wait_seconds
    steps: list[Callable[[], Awaitable[None]]] = [lambda: upgrade(settings)]
    if create_bucket:
        steps.append(make_bucket)
    for step in steps:
        while True:
            try:
                await step()
                break
            except (DatabaseAway, *CONNECTION_ERRORS) as error:
                trouble = _away(error)
            except StorageAway:
                trouble = f"the S3 server {settings.s3_endpoint} is away, or refuses bucket {settings.s3_bucket}"
            if loop.time() > give_up:
                complain(trouble)
                return EXIT_FAILED
            await asyncio.sleep(RETRY_SECONDS)
    return 0
