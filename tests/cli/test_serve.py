"""`imagesvc serve`, `worker` and `migrate` run apart, and what they say when something is wrong with their settings."""

import os
import socket
import subprocess
import sys

import asyncpg
import pytest
from pydantic import SecretStr

from imagesvc.settings import Settings

SECRET = "hunter2-hunter2"


def environment_of(settings: Settings, **changes: str) -> dict[str, str]:
    """The settings as another process reads them; a change to the empty text takes one away."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("IMAGESVC_")}
    given = {f"IMAGESVC_{name.upper()}": getattr(settings, name) for name in settings.model_fields_set}
    told = {name: v.get_secret_value() if isinstance(v, SecretStr) else str(v) for name, v in given.items()}
    return {name: value for name, value in (clean | told | changes).items() if value}


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
def test_a_missing_setting_is_named_in_one_line_with_what_to_put(settings: Settings, command: str) -> None:
    ended = imagesvc(command, environment=environment_of(settings, IMAGESVC_DATABASE_URL=""))

    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "imagesvc: IMAGESVC_DATABASE_URL is not set: "
        "put postgresql://user:password@host:port/name, or ?host=/socket/folder"
    ]


def test_a_wrong_secret_is_not_repeated(settings: Settings) -> None:
    wrong = {
        "IMAGESVC_SECRET_KEYS": f"k1:{SECRET}",
        "IMAGESVC_ADMIN_TOKEN": SECRET,
        "IMAGESVC_S3_BUCKET": "x",
        "IMAGESVC_PORT": "eighty",
    }

    ended = imagesvc("serve", environment=environment_of(settings, **wrong))

    assert ended.returncode == 2
    assert sorted(line.split()[1] for line in ended.stderr.splitlines()) == sorted(wrong)
    assert SECRET not in ended.stderr + ended.stdout


def test_a_port_that_is_in_use_is_said(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])

        ended = imagesvc("serve", "--port", port, environment=environment_of(settings))

    assert ended.returncode == 2
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use" in ended.stderr


def test_off_loopback_the_public_address_is_needed(settings: Settings) -> None:
    ended = imagesvc("serve", "--host", "0.0.0.0", environment=environment_of(settings))

    assert ended.returncode == 2
    assert "IMAGESVC_PUBLIC_URL is not set" in ended.stderr


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_an_outdated_schema_ends_it_with_the_command_that_mends_it(
    settings: Settings, empty_database_url: str, command: str
) -> None:
    environment = environment_of(settings, IMAGESVC_DATABASE_URL=empty_database_url, IMAGESVC_PORT="0")

    ended = imagesvc(command, environment=environment)

    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "run `imagesvc migrate`" in ended.stderr


async def test_migrate_needs_the_database_alone_and_brings_it_to_the_newest_schema(
    settings: Settings, empty_database_url: str
) -> None:
    only = {"PATH": os.environ["PATH"], "IMAGESVC_DATABASE_URL": empty_database_url}

    ended = [imagesvc("migrate", environment=only) for _ in range(2)]

    assert [(run.returncode, run.stderr) for run in ended] == [(0, ""), (0, "")]
    connection = await asyncpg.connect(empty_database_url)
    assert await connection.fetchval("SELECT count(*) FROM links") == 0
    await connection.close()


@pytest.mark.parametrize("command", ["serve", "worker", "migrate"])
def test_a_database_that_cannot_be_reached_is_said_without_its_password(settings: Settings, command: str) -> None:
    nowhere = f"postgresql://imagesvc:{SECRET}@127.0.0.1:1/imagesvc"

    ended = imagesvc(command, environment=environment_of(settings, IMAGESVC_DATABASE_URL=nowhere, IMAGESVC_PORT="0"))

    assert ended.returncode == 1
    assert "IMAGESVC_DATABASE_URL cannot be reached" in ended.stderr
    assert SECRET not in ended.stderr


@pytest.mark.parametrize("command", ["up", "serve", "worker", "migrate"])
def test_every_command_explains_itself_with_examples(command: str) -> None:
    told = imagesvc(command, "--help", environment=dict(os.environ)).stdout

    assert "Examples" in told
    assert f"imagesvc {command}" in told.partition("Examples")[2]
