"""Which servers a command of an operator works on: those that the environment names, else those of a running `up`."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from imagesvc.db import Database
    from imagesvc.settings import Settings

DataDir = Annotated[
    Path, typer.Option(help="Folder of a running `imagesvc up`, used unless IMAGESVC_DATABASE_URL is set")
]
HERE = Path(".imagesvc")
DATABASE = {"database_url": "database-url"}
STORAGE = {"s3_endpoint": "s3-endpoint", "s3_access_key": "s3-access-key", "s3_secret_key": "s3-secret-key"}
"""Settings, and the secrets of the data folder that have their values."""


def settings_for(data_dir: Path, *, with_storage: bool = False) -> "Settings":
    """What is not used need not be named. Exits, saying what is missing."""
    from imagesvc.cli.serve import (
        EXIT_USAGE,
        FOR_OTHERS,
        FOR_STORAGE,
        SettingsWrong,
        complain,
        settings_from,
    )

    unused = FOR_OTHERS if with_storage else FOR_OTHERS | FOR_STORAGE
    given = {name: value for name, value in unused.items() if f"IMAGESVC_{name.upper()}" not in os.environ}
    for secrets in (DATABASE, STORAGE) if with_storage else (DATABASE,):
        first = f"IMAGESVC_{next(iter(secrets)).upper()}"
        if first in os.environ:
            continue
        try:
            given |= {name: (data_dir / "secrets" / file).read_text().strip() for name, file in secrets.items()}
        except OSError as error:
            complain(f"{first} is not set, and no `imagesvc up` keeps its data in {data_dir} ({error.strerror})")
            raise typer.Exit(EXIT_USAGE) from error
    try:
        return settings_from(**given)
    except SettingsWrong as wrong:
        complain(str(wrong))
        raise typer.Exit(EXIT_USAGE) from wrong


def run_on(settings: "Settings", work: Callable[["Database"], Awaitable[int]]) -> None:
    """Do ``work`` on the database and exit with what it returns; what is wrong is told in a line."""
    from imagesvc.cli.serve import EXIT_FAILED, NotPossible, complain
    from imagesvc.errors import ImagesvcError

    try:
        code = asyncio.run(_with_database(settings, work))
    except ImagesvcError as error:
        complain(f"{error.title}: {error.detail}" if error.detail else error.title)
        raise typer.Exit(EXIT_FAILED) from None
    except NotPossible as trouble:
        complain(str(trouble))
        raise typer.Exit(EXIT_FAILED) from None
    if code:
        raise typer.Exit(code)


async def _with_database(settings: "Settings", work: Callable[["Database"], Awaitable[int]]) -> int:
    import imagesvc.models  # noqa: F401 - foreign keys are resolved among all tables
    from imagesvc.cli.serve import require_schema
    from imagesvc.db import Database

    await require_schema(settings)
    database = Database(settings)
    try:
        return await work(database)
    finally:
        await database.close()
