"""A PgBouncer in front of the PostgreSQL of the tests."""

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.folders import open_folder
from tests.support.processes import free_port, until

PROGRAM = shutil.which("pgbouncer") or ""
requires_pgbouncer = pytest.mark.skipif(not PROGRAM, reason="pgbouncer is not installed")
TIMEOUTS = "lock_timeout,idle_in_transaction_session_timeout,jit,statement_timeout"
CONFIGURATION = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 200
ignore_startup_parameters = {ignored}
"""


@contextlib.asynccontextmanager
async def pgbouncer(database_url: str, *, mode: str, ignored: str = "extra_float_digits") -> AsyncIterator[str]:
    """Yields the URL of the same database through it. ``ignored``: startup parameters that it drops."""
    url = urlsplit(database_url)
    query = parse_qs(url.query)
    host, port = query.get("host", [url.hostname or "127.0.0.1"])[0], query.get("port", [str(url.port or 5432)])[0]
    listen_port = free_port()
    with open_folder() as folder:
        (folder / "users").write_text(f'"{url.username}" "{url.password}"\n')
        (folder / "ini").write_text(
            CONFIGURATION.format(
                host=host,
                port=port,
                listen_port=listen_port,
                folder=folder,
                mode=mode,
                ignored=ignored,
                # in session mode, every connection of the service keeps one to the server
                size=60 if mode == "session" else 6,
            )
        )
        # it does not run as root, and a socket of PostgreSQL is open to the account of PostgreSQL only
        owner = os.stat(host) if host.startswith("/") else os.stat(folder)
        libraries = Path(PROGRAM).parents[1] / "lib" / f"{os.uname().machine}-linux-gnu"
        process = await asyncio.create_subprocess_exec(
            PROGRAM,
            str(folder / "ini"),
            env={**os.environ, "LD_LIBRARY_PATH": str(libraries)},
            stderr=(folder / "log").open("wb"),
            **({"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}),  # type: ignore[arg-type]
        )

        async def accepts() -> bool:
            assert process.returncode is None, (folder / "log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", listen_port), 1):
                return True
            return False

        try:
            await until(accepts)
            yield f"postgresql://{url.username}:{url.password}@127.0.0.1:{listen_port}{url.path}?sslmode=disable"
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
