"""Access to PostgreSQL: connections, sessions, the declarative base, and the check of the schema version.

Which API a statement uses, everywhere in the service:

* **asyncpg**, with SQL text that is built at import, for hot paths and for calls of database functions
  (`sql/README.md` lists them). Such a statement is one transaction: `Database.fetch_one` and its kin run it on a
  connection in autocommit mode. A protocol step that takes row locks is a database function, because a row lock must
  not wait for this process's event loop. These calls cost half of what an ORM session costs (docs/performance.md).
* **SQLAlchemy's ORM** for everything else. A service opens a transaction with
  `async with database.sessions.begin() as session:`.

Each feature's `queries.py` says at its top which of the two it uses.
"""

import asyncio
import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, cast
from uuid import UUID

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import BigInteger, DateTime, MetaData, Text, event, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import NoResultFound, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import QueuePool
from uuid_utils.compat import uuid7

from imagesvc.errors import Unavailable
from imagesvc.settings import Settings

RowT = TypeVar("RowT")

NAMING = {
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        int: BigInteger,
        str: Text,
        dt.datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[str]: ARRAY(Text),
    }


TIMEOUTS = {
    "application_name": "imagesvc",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "30s",
    "jit": "off",
    "timezone": "UTC",
}


class DatabaseAway(Unavailable):
    """The server cannot be reached, or it closed the connection."""

    slug, title = "database-away", "The database cannot be reached"


class DatabaseBusy(Unavailable):
    """No connection became free in time, a lock or a statement timed out, or the server is out of resources."""

    slug, title = "database-busy", "Too many requests are waiting for the database"


class SchemaOutdated(RuntimeError):
    """The database's schema is older or newer than the one that this version needs."""


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562). Ids sort by time, so new rows are next to each other in the indexes."""
    return uuid7()


async def connect(url: str, **arguments: Any) -> asyncpg.Connection:
    """Connect by a libpq URL. SQLAlchemy's own URLs know neither sslmode nor ?host=/socket/folder.

    Raises DatabaseAway, whose cause has the words of the server.
    """
    try:
        return await asyncpg.connect(url, timeout=5, **arguments)
    except (*CONNECT_ERRORS, TimeoutError) as error:
        raise DatabaseAway from error


class _PlainConnection(asyncpg.Connection):  # type: ignore[misc]
    """A pooled connection whose session settings never change: it needs no reset, which saves one round trip."""

    def get_reset_query(self) -> str:
        return ""

    async def fetch_custom_plan(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """Like ``fetch``, but plans the statement for these arguments instead of using a generic plan."""
        async with self.transaction(readonly=True):
            await self.execute("SET LOCAL plan_cache_mode = force_custom_plan")
            records: list[asyncpg.Record] = await self.fetch(sql, *arguments)
        return records


class Database:
    """The connections of one process: a pool for ORM sessions, and one for single statements.

    Each pool has at most ``settings.database_pool`` connections. A caller that waits longer than
    ``settings.database_pool_wait_seconds`` for one gets DatabaseBusy.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = settings.database_url.get_secret_value()
        self._size = settings.database_pool
        self._wait_seconds = settings.database_pool_wait_seconds
        self._statement_seconds = settings.database_statement_seconds
        self._server_settings = TIMEOUTS | {"statement_timeout": f"{self._statement_seconds * 1000:.0f}"}
        self.engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            pool_size=self._size,
            max_overflow=0,
            pool_timeout=self._wait_seconds,
            pool_use_lifo=True,
            hide_parameters=True,
        )
        event.listen(self.engine.sync_engine, "handle_error", _translate_session_error)
        self.sessions = async_sessionmaker(self.engine, class_=AsyncSession, expire_on_commit=False)
        self._statements: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    async def _connect(self, **arguments: Any) -> asyncpg.Connection:
        return await connect(self._url, server_settings=self._server_settings, **arguments)

    async def fetch_row(self, sql: str, *arguments: object) -> Any:
        """Run one statement in its own transaction and return its first row as a record, None when there is no row.

        JSON columns arrive decoded. Raises asyncpg's errors of the statement, DatabaseAway and DatabaseBusy.
        ``fetch_one`` returns typed rows.
        """
        return await self._run("fetchrow", sql, arguments)

    async def fetch_rows(self, sql: str, *arguments: object) -> list[Any]:
        """Like ``fetch_row``, but returns all rows."""
        records: list[Any] = await self._run("fetch", sql, arguments)
        return records

    async def fetch_one(self, sql: str, row_class: type[RowT], *arguments: object) -> RowT:
        """Run one statement in its own transaction and return its first row as a ``row_class``.

        ``row_class`` is a frozen dataclass with one field per column of the result, by name. JSON columns arrive
        decoded; nothing else is converted or checked.

        Building the object costs 1 microsecond for 3 columns and 6 for 20, most of it in the dataclass's own
        ``__init__``; the shortest statement takes 80 (measured in a loop on one core, PostgreSQL on the same machine).

        Raises NoResultFound when there is no row, TypeError when columns and fields differ, asyncpg's errors of the
        statement, DatabaseAway and DatabaseBusy.
        """
        record = await self._run("fetchrow", sql, arguments)
        if record is None:
            raise NoResultFound
        return row_class(**record)

    async def fetch_one_or_none(self, sql: str, row_class: type[RowT], *arguments: object) -> RowT | None:
        """Like ``fetch_one``, but returns None when there is no row."""
        record = await self._run("fetchrow", sql, arguments)
        return None if record is None else row_class(**record)

    async def fetch_all(self, sql: str, row_class: type[RowT], *arguments: object) -> list[RowT]:
        """Like ``fetch_one``, but returns all rows."""
        return [row_class(**record) for record in await self._run("fetch", sql, arguments)]

    async def fetch_all_custom_plan(self, sql: str, row_class: type[RowT], *arguments: object) -> list[RowT]:
        """Like ``fetch_all``, planned for these arguments: for statements whose best index depends on them.

        Planning costs a few milliseconds per call.
        """
        return [row_class(**record) for record in await self._run("fetch_custom_plan", sql, arguments)]

    async def fetch_rows_custom_plan(self, sql: str, *arguments: object) -> list[Any]:
        """Like ``fetch_rows``, planned for these arguments; planning costs a few milliseconds per call."""
        records: list[Any] = await self._run("fetch_custom_plan", sql, arguments)
        return records

    async def _run(
        self, fetch: Literal["fetch", "fetchrow", "fetch_custom_plan"], sql: str, arguments: Sequence[object]
    ) -> Any:  # asyncpg has no types
        try:
            pool = self._statements or await self._open()
            # An idle connection needs no timeout. Its timer would add a quarter to the cost of a small statement.
            timeout = None if pool.get_idle_size() else self._wait_seconds
            try:
                connection = await pool.acquire(timeout=timeout)
            except asyncpg.PostgresError as error:
                raise DatabaseAway from error
            try:
                return await getattr(connection, fetch)(sql, *arguments)
            finally:
                await pool.release(connection)
        except TimeoutError as error:
            raise DatabaseBusy from error
        except CONNECTION_ERRORS as error:
            raise DatabaseAway from error
        except OVERLOAD_ERRORS as error:
            raise DatabaseBusy from error

    async def _open(self) -> asyncpg.Pool:
        async with self._opening:
            if self._statements is None:
                self._statements = await asyncpg.create_pool(
                    self._url,
                    min_size=0,
                    max_size=self._size,
                    timeout=5,
                    # longer than the server's own statement_timeout: a server that responds reports the timeout first
                    command_timeout=self._statement_seconds * 1.2,
                    init=_decode_json,
                    server_settings=self._server_settings,
                    connection_class=_PlainConnection,
                )
            return self._statements

    async def ping(self) -> None:
        await self.fetch_row("SELECT 1")

    def connections(self) -> dict[tuple[str, ...], float]:
        """The number of open connections, by pool (`sessions`, `statements`) and state (`used`, `idle`)."""
        sessions = cast(QueuePool, self.engine.pool)
        counts = {"sessions": (sessions.checkedout(), sessions.checkedin()), "statements": (0, 0)}
        if self._statements is not None:
            idle = self._statements.get_idle_size()
            counts["statements"] = (self._statements.get_size() - idle, idle)
        return {(pool, state): pair[at] for pool, pair in counts.items() for at, state in enumerate(("used", "idle"))}

    async def close(self) -> None:
        if self._statements is not None:
            await self._statements.close()
        await self.engine.dispose()


async def _decode_json(connection: asyncpg.Connection) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


CONNECTION_ERRORS = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
"""The connection could not be opened, or it broke."""

CONNECT_ERRORS = (*CONNECTION_ERRORS, asyncpg.PostgresError)
"""Also what a server refuses a new connection for: a wrong password or database, or a startup parameter."""

OVERLOAD_ERRORS = (
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InsufficientResourcesError,
)
"""The server is overloaded: the same statement may succeed later."""


def _translate_session_error(context: ExceptionContext) -> None:
    """Raise DatabaseAway or DatabaseBusy for a session's statement that failed on a broken connection or a timeout."""
    error = context.original_exception
    if not isinstance(error, Exception):
        return  # a cancelled task also invalidates its connection; the cancellation stays what the caller sees
    if context.is_disconnect or isinstance(error.__cause__, CONNECTION_ERRORS):
        raise DatabaseAway from error
    if isinstance(error.__cause__, OVERLOAD_ERRORS):
        raise DatabaseBusy from error


def alembic_config(settings: Settings | None = None) -> Config:
    """Alembic's configuration, with the migrations of the installed package or of this checkout."""
    here = Path(__file__).parent
    packaged = here / "_migrations"
    config = Config()
    config.set_main_option("script_location", str(packaged if packaged.is_dir() else here.parents[1] / "migrations"))
    if settings is not None:
        config.attributes["settings"] = settings
    return config


NEWER = "a newer version of imagesvc has migrated it; install that version, or restore a backup"


async def upgrade(settings: Settings) -> None:
    """Upgrade the schema to the newest revision. Concurrent calls wait for each other (advisory lock).

    Raises SchemaOutdated when a newer version has migrated the database, and the errors of connecting.
    """
    try:
        await asyncio.to_thread(command.upgrade, alembic_config(settings), "head")
    except CommandError as error:
        raise SchemaOutdated(f"the schema cannot be upgraded ({error}): {NEWER}") from error


def expected_revisions() -> Sequence[str]:
    """The newest revisions that the migrations of this version define."""
    return ScriptDirectory.from_config(alembic_config()).get_heads()


def known_revisions() -> set[str]:
    """All revisions that the migrations of this version define."""
    return {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}


async def require_current_schema(database: Database) -> None:
    """Raises SchemaOutdated, which names the command to run, unless the schema has this version's newest revision."""
    expected = set(expected_revisions())
    try:
        async with database.engine.connect() as connection:
            present = set((await connection.execute(text("SELECT version_num FROM alembic_version"))).scalars())
    except ProgrammingError:
        present = set()
    if unknown := present - known_revisions():
        raise SchemaOutdated(
            f"the database's schema is at {', '.join(sorted(unknown))}, which this version does not know: {NEWER}"
        )
    if present != expected:
        found = ", ".join(sorted(present)) or "none"
        raise SchemaOutdated(
            f"the database's schema is at {found}, this version needs {', '.join(expected)}: run `imagesvc migrate`"
        )
