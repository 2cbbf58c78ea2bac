"""Connections to PostgreSQL: what each one is opened with, directly or behind a pooler, and how it runs a statement."""

import json
from collections.abc import Iterable
from typing import Any, Protocol

import asyncpg

from imagesvc.errors import Unavailable
from imagesvc.settings import Settings

SESSION_SETTINGS = {
    "lock_timeout": "10000",
    "idle_in_transaction_session_timeout": "30000",
    "jit": "off",
    "TimeZone": "UTC",
}
"""What each connection has besides its own statement_timeout; times in milliseconds. They travel as startup parameters.
A pooler refuses or drops these: behind one they are defaults of the role (``pooler.py``)."""


class DatabaseAway(Unavailable):
    """The server cannot be reached, or it closed the connection."""

    slug, title = "database-away", "The database cannot be reached"


async def connect(url: str, **arguments: object) -> asyncpg.Connection:
    """Connect by a libpq URL. SQLAlchemy's own URLs support neither sslmode nor ?host=/socket/folder.

    Raises DatabaseAway, whose cause has the words of the server.
    """
    try:
        return await asyncpg.connect(url, timeout=5, **arguments)
    except (*CONNECT_ERRORS, TimeoutError) as error:
        raise DatabaseAway from error


def session_settings(settings: Settings) -> dict[str, str]:
    """The settings of a connection to the server, as ``pg_settings`` shows them."""
    return SESSION_SETTINGS | {"statement_timeout": f"{settings.database_statement_seconds * 1000:.0f}"}


def connection_arguments(settings: Settings) -> dict[str, Any]:
    """What asyncpg connects with, besides the URL. Poolers pass ``application_name`` on."""
    own = session_settings(settings) if settings.database_pooler == "none" else {}
    arguments: dict[str, Any] = {"server_settings": {"application_name": "imagesvc", **own}}
    if settings.database_pooler == "transaction":
        arguments["statement_cache_size"] = 0
    return arguments


def sqlalchemy_arguments(settings: Settings, **own: object) -> dict[str, Any]:
    """``connect_args`` of SQLAlchemy. Its statements are in transactions, and unnamed ones never collide."""
    arguments = connection_arguments(settings) | own

    async def connecting() -> asyncpg.Connection:
        return await connect(settings.database_url.get_secret_value(), **arguments)

    if settings.database_pooler != "transaction":
        return {"async_creator_fn": connecting}
    return {
        "async_creator_fn": connecting,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": str,
    }


class Record(Protocol):
    """A row as asyncpg, which has no types of its own, returns it."""

    def keys(self) -> Iterable[str]: ...

    def __getitem__(self, column: str, /) -> object: ...


class PooledConnection(asyncpg.Connection):  # type: ignore[misc]
    """For a pooler in transaction mode, where each transaction may run on another connection to the server.

    A statement with parameters takes two messages, which only a transaction keeps together.
    """

    def get_reset_query(self) -> str:
        return ""

    async def fetchrow(self, sql: str, *arguments: object) -> Record | None:
        async with self.transaction():
            row: Record | None = await super().fetchrow(sql, *arguments)
        return row

    async def fetch(self, sql: str, *arguments: object) -> list[Record]:
        async with self.transaction():
            rows: list[Record] = await super().fetch(sql, *arguments)
        return rows

    async def fetch_custom_plan(self, sql: str, *arguments: object) -> list[Record]:
        """Each execution is planned for its arguments, because nothing is prepared."""
        return await self.fetch(sql, *arguments)


class PlainConnection(asyncpg.Connection):  # type: ignore[misc]
    """A pooled connection whose session settings never change: it needs no reset, which saves one round trip."""

    def get_reset_query(self) -> str:
        return ""

    async def fetch_custom_plan(self, sql: str, *arguments: object) -> list[Record]:
        """Like ``fetch``, but plans the statement for these arguments instead of using a generic plan."""
        async with self.transaction(readonly=True):
            await self.execute("SET LOCAL plan_cache_mode = force_custom_plan")
            records: list[Record] = await self.fetch(sql, *arguments)
        return records


async def decode_json(connection: asyncpg.Connection) -> None:
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
