"""`imagesvc reprocess` and `rescore`: start the work, which workers do, and show its progress until it is complete."""

import asyncio
import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from imagesvc.cli.errors import EXIT_FAILED, EXIT_USAGE, print_error
from imagesvc.cli.targets import DEFAULT_DATA_DIR, DataDir, run_on, settings_for

if TYPE_CHECKING:
    from imagesvc.db import Database
    from imagesvc.operations.blob_filter import BlobFilter
    from imagesvc.operations.reprocessing import Progress, Reprocessings

EXAMPLES = (
    "[bold]Examples[/bold]\n\nimagesvc reprocess --only metadata --where format=jpeg\n\n"
    "imagesvc reprocess --only renditions --where uploaded_before=2026-11-01\n\n"
    "imagesvc reprocess --where state=failed\n\nimagesvc reprocess --status"
)
POLL_SECONDS = 0.5
MAX_SHOWN = 20


class ProcessingStep(StrEnum):
    metadata = "metadata"
    renditions = "renditions"
    score = "score"


Detach = Annotated[bool, typer.Option("--detach", help="Start it and exit at once")]


def reprocess(
    only: Annotated[
        list[ProcessingStep] | None, typer.Option(help="What to make again; repeatable  [default: all]")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Filter: format=jpeg, camera=NAME, state=ready|failed|rejected, 'score_version<2', "
            "uploaded_before=2026-11-01, uploaded_after=…, image=ID; repeatable, all of them must match",
            show_default=False,
        ),
    ] = None,
    detach: Detach = False,
    status: Annotated[bool, typer.Option("--status", help="Show the latest runs and start none")] = False,
    stop: Annotated[UUID | None, typer.Option(help="Stop the run with this id", show_default=False)] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Process stored images again: metadata, renditions, score; with state=failed or rejected, from the start.

    Workers do it, a few images at a time, beside their other tasks. Ctrl-C ends the progress display only; the same
    command shows it again.
    """
    from imagesvc.operations.reprocessing import Reprocessings

    settings = settings_for(data_dir)

    async def show_latest(database: "Database") -> int:
        for progress in await Reprocessings(settings, database).latest(limit=MAX_SHOWN):
            typer.echo(_line(progress))
        return 0

    async def stop_one(database: "Database") -> int:
        assert stop is not None  # noqa: S101
        if await Reprocessings(settings, database).stop(stop):
            return 0
        print_error("it is not running")
        return EXIT_FAILED

    if status:
        run_on(settings, show_latest)
    elif stop is not None:
        run_on(settings, stop_one)
    else:
        _start(only or list(ProcessingStep), _filter_from(where or []), detach=detach, data_dir=data_dir)


def rescore(
    everything: Annotated[
        bool, typer.Option("--all", help="Include images whose score has the current version")
    ] = False,
    detach: Detach = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Score images again whose score has an older version."""
    from imagesvc.processing.score import SCORE_VERSION

    conditions = [] if everything else [f"score_version<{SCORE_VERSION}"]
    _start([ProcessingStep.score], _filter_from(conditions), detach=detach, data_dir=data_dir)


def _filter_from(conditions: list[str]) -> "BlobFilter":
    """Prints an invalid condition and exits."""
    from imagesvc.operations.blob_filter import BlobFilter, InvalidCondition

    try:
        return BlobFilter.parse(conditions)
    except InvalidCondition as invalid:
        print_error(str(invalid))
        raise typer.Exit(EXIT_USAGE) from None


def _start(steps: list[ProcessingStep], blobs: "BlobFilter", *, detach: bool, data_dir: Path) -> None:
    settings = settings_for(data_dir)

    async def work(database: "Database") -> int:
        from imagesvc.operations.reprocessing import Reprocessings

        runs = Reprocessings(settings, database)
        run_id = await runs.start([step.value for step in steps], blobs)
        if detach:
            typer.echo(str(run_id))
            return 0
        return await _show_progress(runs, run_id)

    run_on(settings, work)


async def _show_progress(runs: "Reprocessings", run_id: UUID) -> int:
    """Returns EXIT_FAILED when tasks failed; they are dead letters then."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True, highlight=False)
    columns = ("reprocessing", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as display:
        bar = display.add_task("")
        while True:
            progress = await runs.progress(run_id)
            if progress is None:
                return EXIT_FAILED
            display.update(bar, total=progress.total, completed=progress.done + progress.failed)
            if progress.state != "running":
                break
            await asyncio.sleep(POLL_SECONDS)
    typer.echo(_line(progress))
    return EXIT_FAILED if progress.failed else 0


def _line(progress: "Progress") -> str:
    conditions = json.dumps(dict(progress.conditions))
    steps = ",".join(progress.parts)
    counts = f"{progress.done} of {progress.total} done, {progress.failed} failed"
    return f"{progress.id}  {progress.state:7}  {counts}  {steps}  {conditions}"
