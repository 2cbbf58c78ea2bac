"""`imagesvc audit`: tables and bucket compared, while the service runs; findings on stdout, progress on stderr."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from imagesvc.cli.targets import HERE, DataDir, run_on, settings_for

if TYPE_CHECKING:
    from imagesvc.db import Database
    from imagesvc.operations.audit import Finding

EXAMPLES = (
    "[bold]Examples[/bold]\n\nimagesvc audit\n\nimagesvc audit --sample 5\n\n"
    "imagesvc audit --fix\n\nimagesvc audit --resume"
)
LOST = "known to be lost"
FOUND = ("missing", "unaccounted", "corrupt", "back")


def audit(
    fix: Annotated[bool, typer.Option("--fix", help="Put right what is found")] = False,
    sample: Annotated[
        float, typer.Option(min=0, max=100, help="Percent of the objects to read whole; sizes are always looked at")
    ] = 100.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the last audit that did not come to its end")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a finding")] = False,
    data_dir: DataDir = HERE,
) -> None:
    """Compare tables and bucket in both directions: missing, unaccounted and corrupt objects.

    With --fix, unaccounted objects go to the reaper, originals that are missing or corrupt are healed by the next
    upload of the same file, renditions are made again. Exits with 1 while something is left wrong.
    """
    settings = settings_for(data_dir, with_storage=True)

    async def work(database: "Database") -> int:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        from imagesvc.cli.serve import EXIT_FAILED, complain
        from imagesvc.operations.audit import Auditor
        from imagesvc.storage.bucket import Storage

        console = Console(stderr=True, highlight=False)
        columns = ("comparing", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        async with Storage(settings) as storage:
            auditor = Auditor(database, storage, fix=fix, sample_percent=sample)
            begun = await auditor.last_unfinished() if resume else await auditor.begin()
            if begun is None:
                complain("no audit is unfinished")
                return EXIT_FAILED
            with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
                bar = progress.add_task("", total=len(begun.places), completed=begun.position)
                counts = dict(begun.counts)
                async for step in auditor.go_on(begun):
                    for finding in step.findings:
                        typer.echo(_line(finding, as_json=as_json))
                    progress.update(bar, completed=step.position)
                    counts = dict(step.counts)
        console.print(", ".join(f"{counts.get(name, 0)} {name}" for name in ("objects", "read", *FOUND, "fixed", LOST)))
        return 0 if sum(counts.get(name, 0) for name in FOUND) == counts.get("fixed", 0) else EXIT_FAILED

    run_on(settings, work)


def _line(finding: "Finding", *, as_json: bool) -> str:
    owned = finding.owned
    told = {
        "found": finding.found,
        "key": finding.key,
        "owner": owned.owner if owned else None,
        "blob_id": str(owned.blob_id) if owned else None,
        "rendition": f"{owned.preset}.{owned.format}" if owned and owned.preset else None,
        "fixed": finding.is_fixed,
    }
    if as_json:
        return json.dumps(told)
    whose = f"  {told['rendition'] or 'original'} of blob {told['blob_id']}" if owned else ""
    return f"{finding.found:11}  {finding.key}{whose}{'  fixed' if finding.is_fixed else ''}"
