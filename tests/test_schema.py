"""The schema: models and migrations agree, migrations run in both directions, an outdated schema is refused."""

import asyncio
import os
import sys
from collections.abc import Callable

import pytest
from alembic import command

from imagesvc.db import Database
from imagesvc.schema_version import SchemaOutdated, alembic_config, require_current_schema
from imagesvc.settings import Settings


async def test_models_and_migrations_define_the_same_schema(settings: Settings) -> None:
    await asyncio.to_thread(command.check, alembic_config(settings))


async def test_every_migration_can_be_downgraded_and_upgraded_again(settings: Settings) -> None:
    config = alembic_config(settings)

    await asyncio.to_thread(command.downgrade, config, "base")
    await asyncio.to_thread(command.upgrade, config, "head")

    await asyncio.to_thread(command.check, config)


async def test_an_outdated_schema_is_refused_with_the_command_that_upgrades_it(settings: Settings) -> None:
    await asyncio.to_thread(command.downgrade, alembic_config(settings), "-1")
    database = Database(settings)

    with pytest.raises(SchemaOutdated, match="imagesvc migrate"):
        await require_current_schema(database)
    await database.close()


async def test_a_database_without_a_schema_is_refused(
    settings_with: Callable[..., Settings], empty_database_url: str
) -> None:
    database = Database(settings_with(database_url=empty_database_url))

    with pytest.raises(SchemaOutdated, match="at none"):
        await require_current_schema(database)
    await database.close()


async def test_concurrent_migrations_wait_for_each_other(
    settings_with: Callable[..., Settings], empty_database_url: str
) -> None:
    settings = settings_with(database_url=empty_database_url)
    environment = {**os.environ, "IMAGESVC_DATABASE_URL": empty_database_url}
    migrate = (sys.executable, "-m", "imagesvc", "migrate")

    runs = [await asyncio.create_subprocess_exec(*migrate, env=environment) for _ in range(3)]

    assert [await run.wait() for run in runs] == [0, 0, 0]
    database = Database(settings)
    await require_current_schema(database)
    await database.close()
