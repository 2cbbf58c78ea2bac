"""Access to PostgreSQL: connections, sessions and the declarative base of all tables.

What uses asyncpg and what uses the ORM, everywhere in the service:

* **asyncpg**, with SQL text that is built at import, for hot paths and for calls of database functions
  (`sql/README.md` lists them). Each call of `Database.fetch_one` and the other `fetch_` methods is one statement in
  a transaction of its own. It costs half of what an ORM session costs (docs/performance.md). A protocol step that
  takes row locks is a database function, so that the locks never wait for this process's event loop.
* **SQLAlchemy's ORM** for everything else. A service opens a transaction with
  `async with database.sessions.begin() as session:`.

Each feature's `queries.py` says at its top which of the two it uses.
"""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Protocol, TypeVar, cast
from uuid import UUID

import asyncpg
from sqlalchemy import BigInteger, DateTime, MetaData, Text, event
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import NoResultFound
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import QueuePool
from uuid_utils.compat import uuid7

from imagesvc.db_connections import (
    CONNECTION_ERRORS,
    DatabaseAway,
    PlainConnection,
    PooledConnection,
    Record,
    connection_arguments,
    decode_json,
    sqlalchemy_arguments,
)
from imagesvc.errors import Unavailable
from imagesvc.settings import Settings

T = TypeVar("T")
RowT = TypeVar("RowT")

NAMING = {
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}


class Base(DeclarativeBase):
    """The declarative base of all tables. An annotation of a column chooses its PostgreSQL type."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar = {
        int: BigInteger,
        str: Text,
        dt.datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[str]: ARRAY(Text),
    }


class DatabaseBusy(Unavailable):
    """No connection became free in time, a lock or a statement timed out, or the server is out of resources."""

    slug, title = "database-busy", "Too many requests are waiting for the database"


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562). Ids sort by time, so new rows are next to each other in the indexes."""
    return uuid7()


class _Connection(Protocol):
    """The methods of ``PlainConnection`` that run statements."""

    async def fetchrow(self, sql: str, *arguments: object) -> Record | None: ...

    async def fetch(self, sql: str, *arguments: object) -> list[Record]: ...

    async def fetch_custom_plan(self, sql: str, *arguments: object) -> list[Record]: ...


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
        self._pooler = settings.database_pooler
        self._arguments = connection_arguments(settings)
        self.engine = create_async_engine(
            "postgresql+asyncpg://",
            connect_args=sqlalchemy_arguments(settings),
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

    async def fetch_row(self, sql: str, *arguments: object) -> Any:  # the record of asyncpg
        """Run one statement in its own transaction and return its first row, None when there is no row.

        For statements whose result is only whether there is a row; ``fetch_one`` returns typed rows. JSON columns
        arrive decoded. Raises asyncpg's errors of the statement, DatabaseAway and DatabaseBusy.
        """
        return await self._run(lambda connection: connection.fetchrow(sql, *arguments))

    async def fetch_rows(self, sql: str, *arguments: object) -> list[Any]:
        """Like ``fetch_row``, but returns all rows."""
        return [*await self._run(lambda connection: connection.fetch(sql, *arguments))]

    async def fetch_rows_custom_plan(self, sql: str, *arguments: object) -> list[Any]:
        """Like ``fetch_rows``, planned for these arguments; planning costs a few milliseconds per call."""
        return [*await self._run(lambda connection: connection.fetch_custom_plan(sql, *arguments))]

    async def fetch_one(self, sql: str, row_class: type[RowT], *arguments: object) -> RowT:
        """Run one statement in its own transaction and return its first row as a ``row_class``.

        ``row_class`` is a frozen dataclass with one field per column of the result, by name. JSON columns arrive
        decoded; nothing else is converted or checked.

        Building the object costs 1 microsecond for 3 columns and 6 for 20, most of it in the dataclass's own
        ``__init__``; the shortest statement takes 80 (measured in a loop on one core, PostgreSQL on the same machine).

        Raises NoResultFound when there is no row, TypeError when columns and fields differ, asyncpg's errors of the
        statement, DatabaseAway and DatabaseBusy.
        """
        row = await self.fetch_one_or_none(sql, row_class, *arguments)
        if row is None:
            raise NoResultFound
        return row

    async def fetch_one_or_none(self, sql: str, row_class: type[RowT], *arguments: object) -> RowT | None:
        """Like ``fetch_one``, but returns None when there is no row."""
        record = await self._run(lambda connection: connection.fetchrow(sql, *arguments))
        return None if record is None else row_class(**record)

    async def fetch_all(self, sql: str, row_class: type[RowT], *arguments: object) -> list[RowT]:
        """Like ``fetch_one``, but returns all rows."""
        records = await self._run(lambda connection: connection.fetch(sql, *arguments))
        return [row_class(**record) for record in records]

    async def fetch_all_custom_plan(self, sql: str, row_class: type[RowT], *arguments: object) -> list[RowT]:
        """Like ``fetch_all``, planned for these arguments: for statements whose best index depends on them.

        Planning costs a few milliseconds per call.
        """
        records = await self._run(lambda connection: connection.fetch_custom_plan(sql, *arguments))
        return [row_class(**record) for record in records]

    async def _run(self, statement: Callable[[_Connection], Awaitable[T]]) -> T:
        try:
            pool = self._statements or await self._open()
            # An idle connection needs no timeout. Its timer would add a quarter to the cost of a small statement.
            timeout = None if pool.get_idle_size() else self._wait_seconds
            try:
                connection = await pool.acquire(timeout=timeout)
            except asyncpg.PostgresError as error:
                raise DatabaseAway from error
            try:
                return await statement(connection)
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
                    init=decode_json,
                    connection_class=PooledConnection if self._pooler == "transaction" else PlainConnection,
                    **self._arguments,
                )
            return self._statements

    async def ping(self) -> None:
        """Raises DatabaseAway or DatabaseBusy when the server does not answer a statement."""
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
