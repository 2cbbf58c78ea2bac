"""`imagesvc upload`: files and folders, through a link or as a user."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagesvc.cli.connection import PANEL, Server, Token, User, asked, client_as, run

if TYPE_CHECKING:
    from imagesvc.client import Client

TOLD = "What is told about the files"
EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "IMAGESVC_LINK=https://images.example.org/u/… imagesvc upload --dir ~/Pictures\n\n"
    "imagesvc upload shelf.jpg till.heic --user ann --server https://images.example.org --store-id S1\n\n"
    "IMAGESVC_TOKEN=… imagesvc upload --dir /srv/camera --concurrency 16 --json > results.jsonl\n\n"
    "imagesvc upload --dir ~/Pictures --user ann --dry-run\n\n"
    "Exit codes: 0 all are in, 1 some were refused, 2 wrong usage, 3 the server cannot be reached.\n\n"
    "An interrupted run goes on where it was when the same command is given again."
)

Named = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[PATH]...", help="Files and folders", exists=True, readable=False, show_default=False),
]
Files = Annotated[
    list[Path] | None,
    typer.Option("--file", help="A file; repeatable", exists=True, dir_okay=False, readable=False, show_default=False),
]
Folders = Annotated[
    list[Path] | None,
    typer.Option(
        "--dir",
        help="A folder with all in it, to any depth, but what begins with a dot; repeatable",
        exists=True,
        file_okay=False,
        readable=False,
        show_default=False,
    ),
]
Link = Annotated[
    str | None,
    typer.Option(
        help="Invitation link to upload through; - asks for it. Better in the environment, as a token is"
        "  [IMAGESVC_LINK]",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
Public = Annotated[
    bool | None,
    typer.Option(
        "--public/--private",
        help="Who may see them; through a link, the link decides  [default: private]",
        rich_help_panel=TOLD,
        show_default=False,
    ),
]
Told = Annotated[str | None, typer.Option(rich_help_panel=TOLD, show_default=False)]


def upload(
    paths: Named = None,
    file: Files = None,
    folder: Folders = None,
    link: Link = None,
    server: Server = None,
    token: Token = None,
    user: User = None,
    public: Public = None,
    description: Told = None,
    store_id: Told = None,
    camera_id: Told = None,
    barcode: Told = None,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Requests in flight at the most")] = 8,
    patience: Annotated[
        float,
        typer.Option(min=0, help="Seconds to keep trying when the server stays away, or nothing goes forward"),
    ] = 60.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line for each file")] = False,
    keep_journal: Annotated[
        bool,
        typer.Option(
            "--journal/--no-journal", help="Note what is done, so that an interrupted run can go on where it was"
        ),
    ] = True,
) -> None:
    """Send pictures: each is read once, and sent only if it is not there yet.

    Files are judged by the service, by what is in them. What fails for the moment is tried again; large files go on
    from where they stopped.
    """
    named = [*(paths or ()), *(file or ()), *(folder or ())]
    if not named:
        raise typer.BadParameter("name files or folders to send")
    if link and (server or token or user):
        raise typer.BadParameter("give --link, or --server with --token or --user, not both")
    link = link or (None if server or token or user else os.environ.get("IMAGESVC_LINK"))
    if link and public is not None:
        raise typer.BadParameter("--public, --private: through a link, the link decides")
    client = _client(link, server, token, user, concurrency=concurrency, patience=patience)

    from imagesvc.cli.upload_report import Report
    from imagesvc.client import Context, ServerAway
    from imagesvc.client.folder_upload import Run
    from imagesvc.client.journal import journal_for

    context = Context(
        visibility=None if public is None else "public" if public else "private",
        description=description,
        store_id=store_id,
        camera_id=camera_id,
        barcode=barcode,
    )

    async def work(client: "Client") -> int:
        with (
            Report(named, as_json=as_json, is_dry=dry_run) as report,
            journal_for(client.identity, is_kept=keep_journal and not dry_run) as journal,
        ):
            run = Run(client, context, journal, report.listeners, concurrency=concurrency, is_dry=dry_run)
            try:
                await run.send(named)
            except BaseException as error:
                report.interrupted(can_go_on=journal.path is not None, is_away=isinstance(error, ServerAway))
                raise
        return report.exit_code

    raise typer.Exit(run(client, work))


def _client(
    link: str | None, server: str | None, token: str | None, user: str | None, *, concurrency: int, patience: float
) -> "Client":
    if not link:
        return client_as(server, token, user, connections=concurrency + 1, patience_seconds=patience)
    from imagesvc.client import Client

    try:
        link = asked("Link") if link == "-" else link
        return Client.through(link, connections=concurrency + 1, patience_seconds=patience)
    except ValueError as error:
        raise typer.BadParameter(f"--link: {error}") from None
