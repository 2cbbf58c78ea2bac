"""The embedded PostgreSQL: who can connect to it, and recovery after a kill during initialization."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
import pytest

from imagesvc.embedded import DataFolder, EmbeddedServers
from tests.support.servers import Servers

pytestmark = pytest.mark.skipif("IMAGESVC_TEST_DATABASE_URL" in os.environ, reason="an external PostgreSQL is used")


def socket_folder(servers: Servers) -> Path:
    return Path(parse_qs(urlsplit(servers.admin_url).query)["host"][0])


def postmaster(servers: Servers) -> psutil.Process:
    pid_file = servers.run / "data" / "postgres" / "data" / "postmaster.pid"
    return psutil.Process(int(pid_file.read_text().split()[0]))


def test_postgres_listens_on_no_network_address_and_does_not_run_as_root(servers: Servers) -> None:
    server = postmaster(servers)

    assert server.net_connections(kind="inet") == []
    assert server.uids().effective != 0


@pytest.mark.parametrize("role", ["postgres", "imagesvc"])
async def test_a_wrong_password_is_refused(servers: Servers, role: str) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(host=str(socket_folder(servers)), user=role, password="guess", database="imagesvc")


async def test_the_role_of_the_service_is_no_superuser(servers: Servers) -> None:
    connection = await asyncpg.connect(servers.database("imagesvc"))

    assert await connection.fetchval("SHOW is_superuser") == "off"
    await connection.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another account")
def test_another_account_cannot_connect_to_the_socket(servers: Servers) -> None:
    path = socket_folder(servers) / ".s.PGSQL.5432"
    program = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"

    # the system's Python: other accounts may not be able to execute the one that runs the tests
    attempt = subprocess.run(
        ["/usr/bin/env", "-i", "python3" if sys.prefix == "/usr" else "/usr/bin/python3", "-c", program],
        user=65534,
        group=65534,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )

    assert "PermissionError" in attempt.stderr


async def test_a_cluster_that_a_kill_left_incomplete_is_created_again(shared_tmp_path: Path) -> None:
    with DataFolder(shared_tmp_path / "data") as data:
        servers = EmbeddedServers(data, wanted=frozenset({"postgres"}), throwaway=True)
        incomplete = data.path / "postgres" / "data.new"
        incomplete.mkdir()
        (incomplete / "PG_VERSION").write_text("18\n")

        await servers.prepare()

        assert (data.path / "postgres" / "data" / "global" / "pg_control").exists()
        assert not incomplete.exists()
