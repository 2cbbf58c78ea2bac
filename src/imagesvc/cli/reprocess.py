"""`imagesvc reprocess` and `rescore`: begun here, done by workers, watched until it is over or as long as wanted."""

import asyncio
import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from imagesvc.cli.targets import HERE, DataDir, run_on, settings_for

if TYPE_CHECKING:
    from imagesvc.db import Database
    from imagesvc.operations.blob_filter import Which
    from imagesvc.operations.reprocessing import Progress, Reprocessings

EXAMPLES = (
    "[bold]Examples[/bold]\n\nimagesvc reprocess --only metadata --where format=jpeg\n\n"
    "imagesvc reprocess --only renditions --where uploaded_before=2026-11-01\n\n"
    "imagesvc reprocess --where state=failed\n\nimagesvc reprocess --status"
)
LOOK_SECONDS = 0.5
SHOWN = 20


class Part(StrEnum):
    metadata = "metadata"
    renditions = "renditions"
    score = "score"


Detach = Annotated[bool, typer.Option("--detach", help="Only begin, do not watch")]


def reprocess(
    only: Annotated[list[Part] | None, typer.Option(help="What to make anew; may be repeated  [default: all]")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Which: format=jpeg, camera=NAME, state=ready|failed|rejected, 'score_version<2', "
            "uploaded_before=2026-11-01, uploaded_after=…, image=ID; all that are given apply",
            show_default=False,
        ),
    ] = None,
    detach: Detach = False,
    status: Annotated[bool, typer.Option("--status", help="Show the last ones, begin none")] = False,
    stop: Annotated[UUID | None, typer.Option(help="Let no more of this one begin", show_default=False)] = None,
    data_dir: DataDir = HERE,
) -> None:
    """Process images that are there again: metadata, renditions, score; with state=failed or rejected, from the start.

    It is done by the workers, a few at a time, beside everything else. Ctrl-C ends the watching only; the same command
    once more watches again.
    """
    from imagesvc.cli.serve import EXIT_FAILED, complain
    from imagesvc.operations.reprocessing import Reprocessings

    settings = settings_for(data_dir)
    if status:

        async def show(database: "Database") -> int:
            for progress in await Reprocessings(settings, database).latest(most=SHOWN):
                typer.echo(_line(progress))
            return 0

        run_on(settings, show)
    elif stop is not None:

        async def end(database: "Database") -> int:
            if await Reprocessings(settings, database).stop(stop):
                return 0
            complain("it is not running")
            return EXIT_FAILED

        run_on(settings, end)
    else:
        _begin(only or list(Part), _which(where or []), detach=detach, data_dir=data_dir)


def rescore(
    everything: Annotated[bool, typer.Option("--all", help="Those with a score of this version too")] = False,
    detach: Detach = False,
    data_dir: DataDir = HERE,
) -> None:
    """Score images again whose score is of an older version."""
    from imagesvc.processing.score import SCORE_VERSION

    written = [] if everything else [f"score_version<{SCORE_VERSION}"]
    _begin([Part.score], _which(written), detach=detach, data_dir=data_dir)


def _which(written: list[str]) -> "Which":
    from imagesvc.cli.serve import EXIT_USAGE, complain
    from imagesvc.operations.blob_filter import BadCondition, Which

    try:
        return Which.read(written)
    except BadCondition as wrong:
        complain(str(wrong))
        raise typer.Exit(EXIT_USAGE) from None


def _begin(parts: list[Part], which: "Which", *, detach: bool, data_dir: Path) -> None:
    settings = settings_for(data_dir)

    async def work(database: "Database") -> int:
        from imagesvc.operations.reprocessing import Reprocessings

        walks = Reprocessings(settings, database)
        walk_id = await walks.begin([part.value for part in parts], which)
        if detach:
            typer.echo(str(walk_id))
            return 0
        return await _watch(walks, walk_id)

    run_on(settings, work)


async def _watch(walks: "Reprocessings", walk_id: UUID) -> int:
    """1 when some could not be done; they are dead letters then."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from imagesvc.cli.serve import EXIT_FAILED

    console = Console(stderr=True, highlight=False)
    columns = ("reprocessing", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        shown = bar.add_task("")
        while True:
            found = await walks.progress(walk_id)
            if found is None:
                return EXIT_FAILED
            bar.update(shown, total=found.total, completed=found.done + found.failed)
            if found.state != "running":
                break
            await asyncio.sleep(LOOK_SECONDS)
    typer.echo(_line(found))
    return EXIT_FAILED if found.failed else 0


def _line(progress: "Progress") -> str:
    what = json.dumps(progress.wanted["which"])
    parts = ",".join(progress.wanted["parts"])
    counts = f"{progress.done} of {progress.total} done, {progress.failed} failed"
    return f"{progress.id}  {progress.state:7}  {counts}  {parts}  {what}"
