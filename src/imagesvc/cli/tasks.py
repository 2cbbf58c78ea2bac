"""`imagesvc tasks`: lists unfinished background tasks directly in the database; retries and drops dead letters.

A running worker executes what is retried.
"""

import json
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

import typer

from imagesvc.cli.errors import EXIT_USAGE, print_error
from imagesvc.cli.targets import DEFAULT_DATA_DIR, DataDir, run_on, settings_for

if TYPE_CHECKING:
    from imagesvc.db import Database
    from imagesvc.operations.schemas import TaskOut

app = typer.Typer(help="List tasks; retry or drop dead letters.", no_args_is_help=True)

PAGE_SIZE = 500
TaskState = Literal["pending", "running", "dead"]
Kind = Annotated[str | None, typer.Option(help="Only tasks of this kind, such as process_image", show_default=False)]
Error = Annotated[
    str | None, typer.Option(help="Only those with this last error, such as decoder-timeout", show_default=False)
]
Ids = Annotated[list[UUID] | None, typer.Argument(help="Ids of dead letters", show_default=False)]


@app.command("list", epilog="imagesvc tasks list --state dead\n\nimagesvc tasks list --json --kind process_image")
def list_tasks(
    state: Annotated[TaskState | None, typer.Option(help="Only tasks in this state", show_default=False)] = None,
    kind: Kind = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List tasks that are not done, the newest first."""

    async def work(database: "Database") -> int:
        from imagesvc.accounts.service import OPERATOR
        from imagesvc.operations.dead_letters import TaskOperations
        from imagesvc.operations.schemas import TaskOut

        tasks, before = TaskOperations(database), None
        while page := await tasks.page(OPERATOR, state=state, kind=kind, before=before, limit=PAGE_SIZE):
            before = page[-1].id
            for task in page:
                typer.echo(_line(TaskOut.of(task), as_json=as_json))
        return 0

    run_on(settings_for(data_dir), work)


def _line(task: "TaskOut", *, as_json: bool) -> str:
    if as_json:
        return json.dumps(task.model_dump(mode="json"))
    since = task.died_at or task.due_at
    return (
        f"{task.id}  {task.state:7}  {since:%Y-%m-%d %H:%M:%S}  {task.attempts}x  {task.kind}  {task.last_error or ''}"
    )


@app.command(epilog="imagesvc tasks retry 01995f4e-2f6c-…\n\nimagesvc tasks retry --all --error decoder-timeout")
def retry(
    ids: Ids = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters that match --kind and --error")] = False,
    kind: Kind = None,
    error: Error = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Retry dead letters, with all their attempts; images that had failed are pending again."""
    from pydantic import ValidationError

    from imagesvc.operations.schemas import DeadLetters

    if bool(ids) == everything or (ids and (kind or error)):
        print_error("give ids, or --all with optional --kind and --error")
        raise typer.Exit(EXIT_USAGE)
    try:
        wanted = DeadLetters(kind=kind, last_error=error)
    except ValidationError:
        print_error("--kind and --error consist of letters, digits, dots, dashes and underscores")
        raise typer.Exit(EXIT_USAGE) from None

    async def work(database: "Database") -> int:
        from imagesvc.accounts.service import OPERATOR
        from imagesvc.operations.dead_letters import TaskOperations

        tasks, retried = TaskOperations(database), 0
        for task_id in ids or ():
            await tasks.retry(OPERATOR, task_id)
            retried += 1
        after = None
        while everything:
            answer = await tasks.retry_all(OPERATOR, wanted.model_copy(update={"after": after}))
            retried, after = retried + answer.retried, answer.last_id
            if after is None:
                break
        typer.echo(f"retried {retried}")
        return 0

    run_on(settings_for(data_dir), work)


@app.command(epilog="imagesvc tasks drop 01995f4e-2f6c-…")
def drop(
    ids: Annotated[list[UUID], typer.Argument(help="Ids of dead letters", show_default=False)],
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Delete dead letters; their images stay failed."""

    async def work(database: "Database") -> int:
        from imagesvc.accounts.service import OPERATOR
        from imagesvc.operations.dead_letters import TaskOperations

        for task_id in ids:
            await TaskOperations(database).drop(OPERATOR, task_id)
            typer.echo(f"dropped {task_id}")
        return 0

    run_on(settings_for(data_dir), work)
