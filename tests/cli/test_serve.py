"""`imagesvc serve`, `worker` and `migrate`: what they report about wrong settings and servers."""

import contextlib
import os
import socket
import socketserver
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr

from imagesvc.settings import Settings

SECRET = "hunter2-hunter2"


def environment_of(settings: Settings, **changes: str) -> dict[str, str]:
    """The settings as environment variables; a change to the empty text removes one."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("IMAGESVC_")}
    given = {f"IMAGESVC_{name.upper()}": getattr(settings, name) for name in settings.model_fields_set}
    values = {name: v.get_secret_value() if isinstance(v, SecretStr) else str(v) for name, v in given.items()}
    return {name: value for name, value in (clean | values | changes).items() if value}


def imagesvc(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "imagesvc", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_missing_setting_is_reported_in_one_line_with_its_format(settings: Settings, command: str) -> None:
    finished = imagesvc(command, environment=environment_of(settings, IMAGESVC_DATABASE_URL=""))

    assert finished.returncode == 2
    assert finished.stderr.splitlines() == [
        "imagesvc: IMAGESVC_DATABASE_URL is not set: "
        "set it to postgresql://user:password@host:port/name, or ?host=/socket/folder"
    ]


def test_an_invalid_secret_is_not_printed(settings: Settings) -> None:
    wrong = {
        "IMAGESVC_SECRET_KEYS": f"k1:{SECRET}",
        "IMAGESVC_ADMIN_TOKEN": SECRET,
        "IMAGESVC_S3_BUCKET": "x",
        "IMAGESVC_PORT": "eighty",
    }

    finished = imagesvc("serve", environment=environment_of(settings, **wrong))

    assert finished.returncode == 2
    assert sorted(line.split()[1] for line in finished.stderr.splitlines()) == sorted(wrong)
    assert SECRET not in finished.stderr + finished.stdout


def test_a_port_in_use_is_reported(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])

        finished = imagesvc("serve", "--port", port, environment=environment_of(settings))

    assert finished.returncode == 2
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use" in finished.stderr


def test_listening_beyond_loopback_requires_the_public_url(settings: Settings) -> None:
    finished = imagesvc("serve", "--host", "0.0.0.0", environment=environment_of(settings))

    assert finished.returncode == 2
    assert "IMAGESVC_PUBLIC_URL is not set" in finished.stderr


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_an_outdated_schema_stops_the_start_and_names_migrate(
    settings: Settings, empty_database_url: str, command: str
) -> None:
    environment = environment_of(settings, IMAGESVC_DATABASE_URL=empty_database_url, IMAGESVC_PORT="0")

    finished = imagesvc(command, environment=environment)

    assert finished.returncode == 1
    assert len(finished.stderr.splitlines()) == 1
    assert "run `imagesvc migrate`" in finished.stderr


async def test_migrate_needs_only_the_database_and_upgrades_to_the_newest_schema(
    settings: Settings, empty_database_url: str
) -> None:
    only = {"PATH": os.environ["PATH"], "IMAGESVC_DATABASE_URL": empty_database_url}

    finished = [imagesvc("migrate", environment=only) for _ in range(2)]

    assert [(run.returncode, run.stderr) for run in finished] == [(0, ""), (0, "")]
    connection = await asyncpg.connect(empty_database_url)
    assert await connection.fetchval("SELECT count(*) FROM links") == 0
    await connection.close()


@pytest.mark.parametrize("command", ["serve", "worker", "migrate"])
def test_an_unreachable_database_is_reported_without_its_password(settings: Settings, command: str) -> None:
    nowhere = f"postgresql://imagesvc:{SECRET}@127.0.0.1:1/imagesvc"

    finished = imagesvc(command, environment=environment_of(settings, IMAGESVC_DATABASE_URL=nowhere, IMAGESVC_PORT="0"))

    assert finished.returncode == 1
    assert "IMAGESVC_DATABASE_URL cannot be reached: " in finished.stderr
    assert "Connect call failed ('127.0.0.1', 1)" in finished.stderr
    assert SECRET not in finished.stderr


@pytest.mark.parametrize("command", ["serve", "worker", "migrate"])
def test_a_database_that_does_not_exist_is_reported_in_the_servers_words(
    settings: Settings, database_url: str, command: str
) -> None:
    wrong = urlsplit(database_url)._replace(path="/nowhere").geturl()

    finished = imagesvc(command, environment=environment_of(settings, IMAGESVC_DATABASE_URL=wrong, IMAGESVC_PORT="0"))

    assert finished.returncode == 1
    assert finished.stderr.splitlines() == [
        'imagesvc: the database of IMAGESVC_DATABASE_URL cannot be reached: database "nowhere" does not exist'
    ]


@pytest.mark.parametrize("command", ["serve", "worker", "migrate"])
def test_a_refused_startup_parameter_is_reported_in_the_servers_words(settings: Settings, command: str) -> None:
    words = "unsupported startup parameter: lock_timeout"
    with refusing_server("08P01", words) as port:
        url = f"postgresql://imagesvc:{SECRET}@127.0.0.1:{port}/imagesvc?sslmode=disable"

        finished = imagesvc(command, environment=environment_of(settings, IMAGESVC_DATABASE_URL=url, IMAGESVC_PORT="0"))

    assert finished.returncode == 1
    assert finished.stderr.splitlines() == [
        f"imagesvc: the database of IMAGESVC_DATABASE_URL cannot be reached: {words}; behind a pooler, "
        "set IMAGESVC_DATABASE_POOLER to its mode: session or transaction"
    ]


@contextlib.contextmanager
def refusing_server(code: str, message: str) -> Iterator[int]:
    """A server with the protocol of PostgreSQL that refuses every connection, as a pooler does. Yields its port."""
    fields = b"".join(kind + value.encode() + b"\0" for kind, value in ((b"S", "FATAL"), (b"C", code), (b"M", message)))
    answer = b"E" + struct.pack(">I", len(fields) + 5) + fields + b"\0"

    class Refusal(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4_096)
            self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refusal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize("command", ["serve", "worker", "migrate"])
async def test_a_schema_of_a_newer_version_is_reported_and_not_touched(
    settings: Settings, empty_database_url: str, command: str
) -> None:
    environment = environment_of(settings, IMAGESVC_DATABASE_URL=empty_database_url, IMAGESVC_PORT="0")
    imagesvc("migrate", environment=environment)
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("UPDATE alembic_version SET version_num = '29991231a'")

    finished = imagesvc(command, environment=environment)
    present = await connection.fetchval("SELECT version_num FROM alembic_version")
    await connection.close()

    assert finished.returncode == 1
    assert len(finished.stderr.splitlines()) == 1
    assert "29991231a" in finished.stderr
    assert "install that version" in finished.stderr
    assert present == "29991231a"


@pytest.mark.parametrize("command", ["up", "serve", "worker", "migrate"])
def test_the_help_of_every_command_has_examples(command: str) -> None:
    help_text = imagesvc(command, "--help", environment=dict(os.environ)).stdout

    assert "Examples" in help_text
    assert f"imagesvc {command}" in help_text.partition("Examples")[2]
