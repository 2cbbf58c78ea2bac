"""The servers that an operator's command works on: those in the environment, or those of a running `up`."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagesvc.cli.errors import EXIT_FAILED, EXIT_USAGE, CommandFailed, InvalidSettings, print_error

if TYPE_CHECKING:
    from imagesvc.db import Database
    from imagesvc.settings import Settings

DataDir = Annotated[
    Path, typer.Option(help="Folder of a running `imagesvc up`, used unless IMAGESVC_DATABASE_URL is set")
]
DEFAULT_DATA_DIR = Path(".imagesvc")
DATABASE = {"database_url": "database-url"}
STORAGE = {"s3_endpoint": "s3-endpoint", "s3_access_key": "s3-access-key", "s3_secret_key": "s3-secret-key"}
"""Setting to the file in the data folder's `secrets` that has its value."""


def settings_for(data_dir: Path, *, with_storage: bool = False) -> "Settings":
    """The settings of the database, and of the storage if wanted. Prints what is missing and exits."""
    from imagesvc.cli.environment import UNUSED_OTHERS, UNUSED_STORAGE, settings_from, unless_set, variable_of

    given = unless_set(UNUSED_OTHERS if with_storage else UNUSED_OTHERS | UNUSED_STORAGE)
    for files in (DATABASE, STORAGE) if with_storage else (DATABASE,):
        variable = variable_of(next(iter(files)))
        if variable in os.environ:
            continue
        try:
            given |= {name: (data_dir / "secrets" / file).read_text().strip() for name, file in files.items()}
        except OSError as error:
            print_error(
                f"{variable} is not set, and {data_dir} is not the data folder of `imagesvc up` ({error.strerror})"
            )
            raise typer.Exit(EXIT_USAGE) from error
    try:
        return settings_from(**given)
    except InvalidSettings as invalid:
        print_error(str(invalid))
        raise typer.Exit(EXIT_USAGE) from invalid


def run_on(settings: "Settings", work: Callable[["Database"], Awaitable[int]]) -> None:
    """Run ``work`` with the database and exit with the code it returns. Errors are printed as one line."""
    from imagesvc.errors import ImagesvcError

    try:
        code = asyncio.run(_with_database(settings, work))
    except ImagesvcError as error:
        print_error(f"{error.title}: {error.detail}" if error.detail else error.title)
        raise typer.Exit(EXIT_FAILED) from None
    except CommandFailed as failed:
        print_error(str(failed))
        raise typer.Exit(EXIT_FAILED) from None
    if code:
        raise typer.Exit(code)


async def _with_database(settings: "Settings", work: Callable[["Database"], Awaitable[int]]) -> int:
    import imagesvc.models  # noqa: F401 - SQLAlchemy resolves foreign keys among all tables
    from imagesvc.cli.serve import require_schema
    from imagesvc.db import Database

    await require_schema(settings)
    database = Database(settings)
    try:
        return await work(database)
    finally:
        await database.close()
