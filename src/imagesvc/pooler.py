"""Poolers between this process and PostgreSQL, such as PgBouncer: what they lack is checked when a process starts.

A pooler passes few settings of a connection on, so ``imagesvc migrate`` stores the timeouts as defaults of the role. In
transaction mode, what lasts longer than a transaction does not work: the service keeps nothing in a connection there
(``db_connections.py``), which costs two round trips for each statement.
"""

import asyncpg

from imagesvc.db_connections import connect, connection_arguments, session_settings
from imagesvc.settings import Settings

VARIABLE = "IMAGESVC_DATABASE_POOLER"
TRIES = 3
READ = "SELECT name, setting FROM pg_settings WHERE name = ANY($1::text[])"


class UnusablePooler(RuntimeError):
    """The pooler works in another way than the settings say; the text says what to change."""


async def require_usable_pooler(settings: Settings) -> None:
    """Raises UnusablePooler, and the errors of connecting."""
    url = settings.database_url.get_secret_value()
    # nothing prepared: a pooler in transaction mode would lose it
    arguments = connection_arguments(settings) | {"statement_cache_size": 0}
    first = await connect(url, **arguments)
    try:
        second = await connect(url, **arguments)
        try:
            if settings.database_pooler != "transaction" and await _changes_connections(first, second):
                raise UnusablePooler(
                    f"the database is behind a pooler in transaction mode, but {VARIABLE} is "
                    f"{settings.database_pooler}: set it to transaction"
                )
        finally:
            await second.close()
        await _require_session_settings(first, settings)
    finally:
        await first.close()


async def _changes_connections(first: asyncpg.Connection, second: asyncpg.Connection) -> bool:
    """Whether the first one's transactions run on several connections to the server, while the second one has one."""
    for _ in range(TRIES):
        before = await _server_process(first)
        async with second.transaction():
            if await _server_process(second) == before or await _server_process(first) != before:
                return True
    return False


async def _server_process(connection: asyncpg.Connection) -> int:
    async with connection.transaction():
        return int(str(await connection.fetchval("SELECT pg_backend_pid()")))


async def _require_session_settings(connection: asyncpg.Connection, settings: Settings) -> None:
    wanted = session_settings(settings)
    async with connection.transaction():
        found = {row["name"]: row["setting"] for row in await connection.fetch(READ, list(wanted))}
    for name, value in wanted.items():
        if found.get(name) != value:
            raise UnusablePooler(
                f"connections through the pooler have {name} = {found.get(name)} instead of {value}: run `imagesvc "
                f"migrate` with the same settings and {VARIABLE}, which makes it a default of the database role, and "
                "have the pooler reconnect (RECONNECT)"
            )


async def store_session_settings(settings: Settings) -> None:
    """Make the settings of connections defaults of the role in this database, if there is a pooler."""
    if settings.database_pooler == "none":
        return
    connection = await connect(settings.database_url.get_secret_value(), **connection_arguments(settings))
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('imagesvc role settings'))")
            name = await connection.fetchval("SELECT quote_ident(current_database())")
            for setting, value in session_settings(settings).items():
                await connection.execute(f"ALTER ROLE CURRENT_USER IN DATABASE {name} SET {setting} = '{value}'")
    finally:
        await connection.close()
