"""`imagesvc stores`: imports the store master directly into the database, for operators."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from imagesvc.cli.errors import EXIT_FAILED, EXIT_USAGE, print_error
from imagesvc.cli.targets import DEFAULT_DATA_DIR, DataDir, run_on, settings_for

if TYPE_CHECKING:
    from imagesvc.db import Database

app = typer.Typer(help="Maintain the store master, directly in the database.", no_args_is_help=True)

CHUNK_BYTES = 256 * 1024


@app.callback()
def stores() -> None:
    """Maintain the store master, directly in the database."""


@app.command("import", epilog="imagesvc stores import StoreMaster.csv\n\nimagesvc stores import - < StoreMaster.csv")
def import_stores(
    file: Annotated[Path, typer.Argument(help="AreaCode,StoreName,StoreID[,TimeZone]; - reads standard input")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Add and change stores from a CSV file. Invalid rows are reported by line; the others are imported."""
    settings = settings_for(data_dir)

    async def work(database: "Database") -> int:
        from imagesvc.accounts.service import OPERATOR
        from imagesvc.stores.service import Stores

        with source:
            report = await Stores(settings, database).import_csv(OPERATOR, _chunks(source))
        for error in report.errors:
            print_error(f"{file}, line {error.line}: {error.detail}")
        if report.rejected > len(report.errors):
            print_error(f"and {report.rejected - len(report.errors)} more lines")
        typer.echo(
            f"{report.rows} rows: {report.created} created, {report.updated} updated, {report.unchanged} unchanged, "
            f"{report.rejected} rejected"
        )
        return EXIT_FAILED if report.rejected else 0

    try:
        source: BinaryIO = sys.stdin.buffer if file == Path("-") else file.open("rb")
    except OSError as error:
        print_error(f"{file}: {error.strerror}")
        raise typer.Exit(EXIT_USAGE) from error
    run_on(settings, work)


async def _chunks(source: BinaryIO) -> AsyncIterator[bytes]:
    while chunk := source.read(CHUNK_BYTES):
        yield chunk
