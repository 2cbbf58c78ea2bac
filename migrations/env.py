"""Runs the migrations: one process at a time (advisory lock), and with timeouts so that a busy table is not blocked."""

import asyncio

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import imagesvc.models
from imagesvc.db_connections import sqlalchemy_arguments
from imagesvc.settings import Settings

MIGRATION_LOCK = 0x696D6773
TIMEOUTS = {"lock_timeout": "5s", "statement_timeout": "15min", "idle_in_transaction_session_timeout": "15min"}
metadata = imagesvc.models.Base.metadata


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, compare_type=True, compare_server_default=True)
    with context.begin_transaction():
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        for name, value in TIMEOUTS.items():
            connection.execute(text("SELECT set_config(:name, :value, true)"), {"name": name, "value": value})
        context.run_migrations()


async def online() -> None:
    settings = context.config.attributes.get("settings") or Settings()
    # without the timeouts of the service: those of this transaction are its own
    arguments = sqlalchemy_arguments(settings, server_settings={"application_name": "imagesvc"})
    engine = create_async_engine("postgresql+asyncpg://", connect_args=arguments, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
            await connection.commit()
    finally:
        await engine.dispose()


if context.is_offline_mode():
    raise SystemExit("migrations read the database while they run: --sql is not supported")
asyncio.run(online())
