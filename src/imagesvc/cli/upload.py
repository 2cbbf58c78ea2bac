"""`imagesvc upload`: uploads files and folders, through a link or as a user."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagesvc.cli.connection import PANEL, Server, Token, User, client_as, read_secret, run

if TYPE_CHECKING:
    from imagesvc.client import Client

DETAILS_PANEL = "Details of the files"
EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "IMAGESVC_LINK=https://images.example.org/u/… imagesvc upload --dir ~/Pictures\n\n"
    "imagesvc upload shelf.jpg till.heic --user ann --server https://images.example.org --store-id S1\n\n"
    "IMAGESVC_TOKEN=… imagesvc upload --dir /srv/camera --concurrency 16 --json > results.jsonl\n\n"
    "imagesvc upload --dir ~/Pictures --user ann --dry-run\n\n"
    "Exit codes: 0 all files accepted, 1 some files refused, 2 wrong usage, 3 the server cannot be reached.\n\n"
    "Run the same command again to resume an interrupted run."
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
        help="A folder with all its subfolders, except hidden and excluded names; repeatable",
        exists=True,
        file_okay=False,
        readable=False,
        show_default=False,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Skip files and folders of this name below a folder, or of this path if there is a / in it; * and ? match"
        " any characters; repeatable",
        show_default=False,
    ),
]
Link = Annotated[
    str | None,
    typer.Option(
        help="Invitation link to upload through; - asks for it. Prefer the environment, which other users cannot read"
        "  [IMAGESVC_LINK]",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
Public = Annotated[
    bool | None,
    typer.Option(
        "--public/--private",
        help="Visibility of the images; a link sets its own  [default: private]",
        rich_help_panel=DETAILS_PANEL,
        show_default=False,
    ),
]
Detail = Annotated[str | None, typer.Option(rich_help_panel=DETAILS_PANEL, show_default=False)]


def upload(
    paths: Named = None,
    file: Files = None,
    folder: Folders = None,
    exclude: Exclude = None,
    default_excludes: Annotated[
        bool,
        typer.Option(
            "--default-excludes/--no-default-excludes",
            help="Also skip previews, system files and side-cars, such as @eaDir, Thumbs.db and *.xmp",
        ),
    ] = True,
    link: Link = None,
    server: Server = None,
    token: Token = None,
    user: User = None,
    public: Public = None,
    description: Detail = None,
    store_id: Detail = None,
    camera_id: Detail = None,
    barcode: Detail = None,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Maximum number of concurrent requests")] = 8,
    patience: Annotated[
        float,
        typer.Option(min=0, help="Seconds to retry while the server is unavailable or there is no progress"),
    ] = 60.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report what would be sent, and send nothing")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line for each file")] = False,
    keep_journal: Annotated[
        bool,
        typer.Option("--journal/--no-journal", help="Record progress, so that an interrupted run can be resumed"),
    ] = True,
) -> None:
    """Upload pictures: each file is read once and sent only if the service does not have it yet.

    The service judges files by their content. Files below a folder that are not images are skipped. Temporary failures
    are retried; large files resume where they stopped.
    """
    named = [*(paths or ()), *(file or ()), *(folder or ())]
    if not named:
        raise typer.BadParameter("name files or folders to upload")
    if link and (server or token or user):
        raise typer.BadParameter("give --link, or --server with --token or --user, not both")
    link = link or (None if server or token or user else os.environ.get("IMAGESVC_LINK"))
    if link and public is not None:
        raise typer.BadParameter("--public and --private do not apply to a link, which sets the visibility itself")
    client = _client(link, server, token, user, concurrency=concurrency, retry_timeout_seconds=patience)

    from imagesvc.cli.upload_report import UploadReport
    from imagesvc.client import Context, ServerUnavailable
    from imagesvc.client.excludes import Excludes
    from imagesvc.client.folder_upload import FolderUpload
    from imagesvc.client.journal import journal_for

    context = Context(
        visibility=None if public is None else "public" if public else "private",
        description=description,
        store_id=store_id,
        camera_id=camera_id,
        barcode=barcode,
    )

    excludes = Excludes(exclude or (), with_defaults=default_excludes)

    async def work(client: "Client") -> int:
        with (
            UploadReport(named, excludes, as_json=as_json, is_dry=dry_run) as report,
            journal_for(client.identity, is_kept=keep_journal and not dry_run) as journal,
        ):
            upload = FolderUpload(
                client,
                context,
                journal,
                report.listeners,
                concurrency=concurrency,
                is_dry=dry_run,
                excludes=excludes,
            )
            try:
                await upload.send(named)
            except BaseException as error:
                report.interrupted(
                    can_resume=journal.path is not None, is_unavailable=isinstance(error, ServerUnavailable)
                )
                raise
        return report.exit_code

    raise typer.Exit(run(client, work))


def _client(
    link: str | None,
    server: str | None,
    token: str | None,
    user: str | None,
    *,
    concurrency: int,
    retry_timeout_seconds: float,
) -> "Client":
    """The client has one connection more than there are senders, for the check."""
    connections = concurrency + 1
    if not link:
        return client_as(server, token, user, connections=connections, retry_timeout_seconds=retry_timeout_seconds)
    from imagesvc.client import Client

    try:
        link = read_secret("Link") if link == "-" else link
        return Client.through(link, connections=connections, retry_timeout_seconds=retry_timeout_seconds)
    except ValueError as error:
        raise typer.BadParameter(f"--link: {error}") from None
