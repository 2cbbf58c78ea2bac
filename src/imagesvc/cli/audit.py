"""`imagesvc audit`: compares tables and bucket while the service runs; findings on stdout, progress on stderr."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from imagesvc.cli.errors import EXIT_FAILED, print_error
from imagesvc.cli.targets import DEFAULT_DATA_DIR, DataDir, run_on, settings_for

if TYPE_CHECKING:
    from imagesvc.db import Database
    from imagesvc.operations.audit import Finding

EXAMPLES = (
    "[bold]Examples[/bold]\n\nimagesvc audit\n\nimagesvc audit --sample 5\n\n"
    "imagesvc audit --fix\n\nimagesvc audit --resume"
)
FINDINGS = ("missing", "unaccounted", "corrupt", "back")
COUNTS = ("objects", "read", *FINDINGS, "fixed", "known to be lost")


def audit(
    fix: Annotated[bool, typer.Option("--fix", help="Repair what is found")] = False,
    sample: Annotated[
        float, typer.Option(min=0, max=100, help="Percent of the objects to read in full; all sizes are checked")
    ] = 100.0,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the last audit that was interrupted")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per finding")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Compare tables and bucket in both directions: missing, unaccounted and corrupt objects.

    With --fix, the reaper deletes unaccounted objects, the next upload of the same file restores a missing or corrupt
    original, and renditions are made again. Exits with 1 while findings are left.
    """
    settings = settings_for(data_dir, with_storage=True)

    async def work(database: "Database") -> int:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        from imagesvc.operations.audit import Auditor
        from imagesvc.storage.bucket import Storage

        console = Console(stderr=True, highlight=False)
        columns = ("comparing", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        async with Storage(settings) as storage:
            auditor = Auditor(database, storage, fix=fix, sample_percent=sample)
            started = await auditor.last_unfinished() if resume else await auditor.start()
            if started is None:
                print_error("there is no unfinished audit")
                return EXIT_FAILED
            with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
                bar = progress.add_task("", total=len(started.places), completed=started.position)
                counts = dict(started.counts)
                async for step in auditor.run(started):
                    for finding in step.findings:
                        typer.echo(_line(finding, as_json=as_json))
                    progress.update(bar, completed=step.position)
                    counts = dict(step.counts)
        console.print(", ".join(f"{counts.get(name, 0)} {name}" for name in COUNTS))
        return _exit_code(counts)

    run_on(settings, work)


def _exit_code(counts: Mapping[str, int]) -> int:
    return 0 if sum(counts.get(name, 0) for name in FINDINGS) == counts.get("fixed", 0) else EXIT_FAILED


def _line(finding: "Finding", *, as_json: bool) -> str:
    owned = finding.owned
    rendition = f"{owned.preset}.{owned.format}" if owned and owned.preset else None
    if as_json:
        return json.dumps(
            {
                "found": finding.kind,
                "key": finding.key,
                "owner": owned.owner if owned else None,
                "blob_id": str(owned.blob_id) if owned else None,
                "rendition": rendition,
                "fixed": finding.is_fixed,
            }
        )
    owner = f"  {rendition or 'original'} of blob {owned.blob_id}" if owned else ""
    return f"{finding.kind:11}  {finding.key}{owner}{'  fixed' if finding.is_fixed else ''}"
