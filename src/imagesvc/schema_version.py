"""The schema version of the database: upgrades it by migrations, and checks it when a process starts."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from imagesvc.db import Database
from imagesvc.settings import Settings

NEWER = "a newer version of imagesvc has migrated it; install that version, or restore a backup"


class SchemaOutdated(RuntimeError):
    """The schema of the database is older or newer than the one that this version needs."""


def alembic_config(settings: Settings | None = None) -> Config:
    """Alembic's configuration, with the migrations of the installed package or of this checkout."""
    here = Path(__file__).parent
    packaged = here / "_migrations"
    config = Config()
    config.set_main_option("script_location", str(packaged if packaged.is_dir() else here.parents[1] / "migrations"))
    if settings is not None:
        config.attributes["settings"] = settings
    return config


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
