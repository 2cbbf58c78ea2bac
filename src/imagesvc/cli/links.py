"""`imagesvc links`: invite people to upload without an account, and withdraw that again."""

import datetime as dt
import json
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagesvc.cli.connection import Server, Token, User, client_as, printable, run

if TYPE_CHECKING:
    from imagesvc.client import Client

app = typer.Typer(help="Invite people to upload without an account.", no_args_is_help=True)

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
EXAMPLES = "[bold]Examples[/bold]\n\n"

AsJson = Annotated[bool, typer.Option("--json", help="JSON objects, one a line")]


def seconds(text: str) -> int:
    """``90``, ``30m``, ``12h``, ``7d``, ``2w``."""
    return _number(text, UNITS, "a time such as 90, 30m, 12h, 7d or 2w")


def size(text: str) -> int:
    """``500``, ``500k``, ``20M``, ``2G``: thousands."""
    return _number(text, SIZES, "a size such as 500k, 20M or 2G")


def _number(text: str, units: dict[str, int], what: str) -> int:
    found = re.fullmatch(r"([0-9]{1,15})([a-z]?)", text.strip().lower())
    if found is None or found[2] not in units or int(found[1]) == 0:
        raise typer.BadParameter(f"{what} is needed")
    return int(found[1]) * units[found[2]]


@app.command(
    epilog=EXAMPLES
    + "imagesvc links create --user ann --expires-in 7d --label Stocktaking --max-files 200\n\n"
    + "IMAGESVC_TOKEN=… imagesvc links create --store-id S1 --camera-id till-4 --json"
)
def create(
    expires_in: Annotated[
        int, typer.Option(parser=seconds, metavar="TIME", help="How long it lives: 90, 30m, 12h, 7d, 2w")
    ] = "1d",  # type: ignore[assignment]
    label: Annotated[str | None, typer.Option(help="What it is for; its holder sees it", show_default=False)] = None,
    max_files: Annotated[int | None, typer.Option(min=1, help="How many files it takes", show_default=False)] = None,
    max_bytes: Annotated[
        int | None, typer.Option(parser=size, metavar="SIZE", help="All files together: 500M, 2G", show_default=False)
    ] = None,
    max_file_bytes: Annotated[
        int | None, typer.Option(parser=size, metavar="SIZE", help="Each file: 500k, 20M", show_default=False)
    ] = None,
    public: Annotated[bool, typer.Option("--public/--private", help="Who may see what comes through it")] = False,
    store_id: Annotated[str | None, typer.Option(help="Of all that comes through it", show_default=False)] = None,
    camera_id: Annotated[str | None, typer.Option(help="Of all that comes through it", show_default=False)] = None,
    qr: Annotated[bool, typer.Option("--qr/--no-qr", help="Show its QR code, on a terminal")] = True,
    as_json: AsJson = False,
    server: Server = None,
    token: Token = None,
    user: User = None,
) -> None:
    """Make a link and print it. It is the secret: whoever has it may upload."""
    wanted: dict[str, Any] = {
        "expires_in": expires_in,
        "label": label,
        "max_files": max_files,
        "max_bytes": max_bytes,
        "max_file_bytes": max_file_bytes,
        "visibility": "public" if public else None,
        "store_id": store_id,
        "camera_id": camera_id,
    }

    async def work(client: "Client") -> int:
        link = await client.create_link(**wanted)
        sys.stdout.write((json.dumps(link) if as_json else link["url"]) + "\n")
        if qr and not as_json and sys.stdout.isatty():
            import segno

            segno.make(link["url"], micro=False, error="l").terminal(compact=True, border=2)
        return 0

    raise typer.Exit(run(client_as(server, token, user), work))


@app.command("list", epilog=EXAMPLES + "imagesvc links list --user ann")
def list_links(
    limit: Annotated[int, typer.Option(min=1, help="How many at the most")] = 50,
    as_json: AsJson = False,
    server: Server = None,
    token: Token = None,
    user: User = None,
) -> None:
    """List your links, the newest first; an admin sees all. The links themselves are shown by --json only."""

    async def work(client: "Client") -> int:
        found = [link async for link in client.links(limit=limit)]
        if as_json:
            sys.stdout.writelines(json.dumps(link) + "\n" for link in found)
        else:
            _show(found)
        return 0

    raise typer.Exit(run(client_as(server, token, user), work))


@app.command(epilog=EXAMPLES + "imagesvc links revoke 01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a13 --user ann")
def revoke(
    link_id: Annotated[str, typer.Argument(help="Its id, as `links list` shows it", show_default=False)],
    server: Server = None,
    token: Token = None,
    user: User = None,
) -> None:
    """Stop a link at once. What was uploaded stays."""

    async def work(client: "Client") -> int:
        await client.revoke_link(link_id)
        return 0

    raise typer.Exit(run(client_as(server, token, user), work))


def _show(links: list[dict[str, Any]]) -> None:
    from rich.text import Text

    from imagesvc.cli.tables import console, plain_table

    table = plain_table("id", "state", "expires", "files", "label")
    for link in links:
        most = "" if link["max_files"] is None else f" of {link['max_files']}"
        table.add_row(
            link["id"],
            link["state"],
            f"{dt.datetime.fromisoformat(link['expires_at']).astimezone():%Y-%m-%d %H:%M}",
            f"{link['used_files']}{most}",
            Text(printable(link["label"] or "")),
        )
    console().print(table)
