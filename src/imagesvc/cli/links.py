"""`imagesvc links`: creates, lists and revokes invitation links."""

import datetime as dt
import json
import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from imagesvc.cli.connection import Server, Token, User, client_as, run
from imagesvc.cli.errors import printable

if TYPE_CHECKING:
    from imagesvc.client import Client, Link
    from imagesvc.client.models import LinkOptions

app = typer.Typer(help="Invite people to upload without an account.", no_args_is_help=True)

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
EXAMPLES = "[bold]Examples[/bold]\n\n"

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line")]


def seconds(text: str) -> int:
    """Parses ``90``, ``30m``, ``12h``, ``7d``, ``2w``. Raises typer.BadParameter."""
    return _number(text, UNITS, "a time such as 90, 30m, 12h, 7d or 2w")


def size(text: str) -> int:
    """Parses ``500``, ``500k``, ``20M``, ``2G`` (powers of 1000) to bytes. Raises typer.BadParameter."""
    return _number(text, SIZES, "a size such as 500k, 20M or 2G")


def _number(text: str, units: dict[str, int], expected: str) -> int:
    match = re.fullmatch(r"([0-9]{1,15})([a-z]?)", text.strip().lower())
    if match is None or match[2] not in units or int(match[1]) == 0:
        raise typer.BadParameter(f"expected {expected}")
    return int(match[1]) * units[match[2]]


@app.command(
    epilog=EXAMPLES
    + "imagesvc links create --user ann --expires-in 7d --label Stocktaking --max-files 200\n\n"
    + "IMAGESVC_TOKEN=… imagesvc links create --store-id S1 --camera-id till-4 --json"
)
def create(
    expires_in: Annotated[
        int, typer.Option(parser=seconds, metavar="TIME", help="Lifetime: 90, 30m, 12h, 7d, 2w")
    ] = "1d",  # type: ignore[assignment]
    label: Annotated[str | None, typer.Option(help="Purpose; shown to its holder", show_default=False)] = None,
    max_files: Annotated[int | None, typer.Option(min=1, help="Maximum number of files", show_default=False)] = None,
    max_bytes: Annotated[
        int | None,
        typer.Option(parser=size, metavar="SIZE", help="Maximum of all files together: 500M, 2G", show_default=False),
    ] = None,
    max_file_bytes: Annotated[
        int | None, typer.Option(parser=size, metavar="SIZE", help="Maximum per file: 500k, 20M", show_default=False)
    ] = None,
    public: Annotated[bool, typer.Option("--public/--private", help="Visibility of its images")] = False,
    store_id: Annotated[str | None, typer.Option(help="Store of all its uploads", show_default=False)] = None,
    camera_id: Annotated[str | None, typer.Option(help="Camera of all its uploads", show_default=False)] = None,
    qr: Annotated[bool, typer.Option("--qr/--no-qr", help="Show its QR code on a terminal")] = True,
    as_json: AsJson = False,
    server: Server = None,
    token: Token = None,
    user: User = None,
) -> None:
    """Create a link and print it. It is a secret: everyone who has it can upload."""
    options: LinkOptions = {
        "label": label,
        "max_files": max_files,
        "max_bytes": max_bytes,
        "max_file_bytes": max_file_bytes,
        "visibility": "public" if public else None,
        "store_id": store_id,
        "camera_id": camera_id,
    }

    async def work(client: "Client") -> int:
        link = await client.create_link(expires_in=expires_in, **options)
        sys.stdout.write((json.dumps(link) if as_json else link["url"]) + "\n")
        if qr and not as_json and sys.stdout.isatty():
            import segno

            segno.make(link["url"], micro=False, error="l").terminal(compact=True, border=2)
        return 0

    raise typer.Exit(run(client_as(server, token, user), work))


@app.command("list", epilog=EXAMPLES + "imagesvc links list --user ann")
def list_links(
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of links")] = 50,
    as_json: AsJson = False,
    server: Server = None,
    token: Token = None,
    user: User = None,
) -> None:
    """List your links, the newest first; an admin sees all. Only --json shows their secret addresses."""

    async def work(client: "Client") -> int:
        found = [link async for link in client.links(limit=limit)]
        if as_json:
            sys.stdout.writelines(json.dumps(link) + "\n" for link in found)
        else:
            _print_table(found)
        return 0

    raise typer.Exit(run(client_as(server, token, user), work))


@app.command(epilog=EXAMPLES + "imagesvc links revoke 01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a13 --user ann")
def revoke(
    link_id: Annotated[str, typer.Argument(help="Id, as `links list` shows it", show_default=False)],
    server: Server = None,
    token: Token = None,
    user: User = None,
) -> None:
    """Stop a link at once. Its uploads stay."""

    async def work(client: "Client") -> int:
        await client.revoke_link(link_id)
        return 0

    raise typer.Exit(run(client_as(server, token, user), work))


def _print_table(links: "list[Link]") -> None:
    from rich.text import Text

    from imagesvc.cli.tables import console, plain_table

    table = plain_table("id", "state", "expires", "files", "label")
    for link in links:
        maximum = "" if link["max_files"] is None else f" of {link['max_files']}"
        table.add_row(
            link["id"],
            link["state"],
            f"{dt.datetime.fromisoformat(link['expires_at']).astimezone():%Y-%m-%d %H:%M}",
            f"{link['used_files']}{maximum}",
            Text(printable(link["label"] or "")),
        )
    console().print(table)
