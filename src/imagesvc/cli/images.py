"""`imagesvc images`: lists images, as a table or as JSON lines."""

import datetime as dt
import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from imagesvc.cli.connection import Server, Token, User, client_as, run
from imagesvc.cli.errors import printable

if TYPE_CHECKING:
    from imagesvc.client import Client, Image
    from imagesvc.client.models import ImageFilters

FILTERS = "Filters"
OWN_FILTERS = "Filters that match your own images only"
TIME_HELP = "RFC 3339 with an offset, or a day"
EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "imagesvc images --q cats --user ann --mine\n\n"
    "IMAGESVC_TOKEN=… imagesvc images --store-id S1 --min-score 70 --sort -score --limit 20\n\n"
    "imagesvc images --user ann --near 48.858,2.294,1 --captured-from 2026-11-01T00:00:00Z --json\n\n"
    "Without a credential, public images are listed."
)

Own = Annotated[str | None, typer.Option(rich_help_panel=OWN_FILTERS, show_default=False)]
Time = Annotated[str | None, typer.Option(rich_help_panel=FILTERS, show_default=False, help=TIME_HELP, metavar="TIME")]
OwnTime = Annotated[
    str | None, typer.Option(rich_help_panel=OWN_FILTERS, show_default=False, help=TIME_HELP, metavar="TIME")
]


def images(
    q: Annotated[
        str | None,
        typer.Option(
            help="Part of the title or description; for your own images also of a filename", rich_help_panel=FILTERS
        ),
    ] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only your own images", rich_help_panel=FILTERS)] = False,
    owner: Annotated[
        str | None, typer.Option(help="Id of the account", rich_help_panel=FILTERS, show_default=False)
    ] = None,
    visibility: Annotated[str | None, typer.Option(help="private or public", rich_help_panel=FILTERS)] = None,
    state: Annotated[
        str | None, typer.Option(help="pending, ready, rejected or failed", rich_help_panel=FILTERS)
    ] = None,
    media_format: Annotated[
        str | None, typer.Option("--format", help="Such as jpeg or image/jpeg", rich_help_panel=FILTERS)
    ] = None,
    min_score: Annotated[int | None, typer.Option(min=0, max=100, help="0 to 100", rich_help_panel=FILTERS)] = None,
    uploaded_from: Time = None,
    uploaded_to: Time = None,
    near: Annotated[
        str | None, typer.Option(metavar="LAT,LON,KM", help="Taken within this distance", rich_help_panel=OWN_FILTERS)
    ] = None,
    captured_from: OwnTime = None,
    captured_to: OwnTime = None,
    camera_model: Own = None,
    store_id: Own = None,
    store_name: Own = None,
    camera_id: Own = None,
    barcode: Own = None,
    link_id: Own = None,
    batch_id: Own = None,
    sort: Annotated[
        str | None, typer.Option(help="created_at, captured (with --mine) or score; a leading - sorts downwards")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of images")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line")] = False,
    server: Server = None,
    token: Token = None,
    user: User = None,
) -> None:
    """List images, the newest first."""
    if mine and owner:
        raise typer.BadParameter("give --mine or --owner, not both")
    filters: ImageFilters = {
        "q": q,
        "owner": "me" if mine else owner,
        "visibility": visibility,
        "state": state,
        "format": media_format,
        "min_score": min_score,
        "uploaded_from": uploaded_from,
        "uploaded_to": uploaded_to,
        "near": near,
        "captured_from": captured_from,
        "captured_to": captured_to,
        "camera_model": camera_model,
        "store_id": store_id,
        "store_name": store_name,
        "camera_id": camera_id,
        "barcode": barcode,
        "link_id": link_id,
        "batch_id": batch_id,
        "sort": sort,
    }

    async def work(client: "Client") -> int:
        found = client.images(limit=limit, **filters)
        if as_json:
            async for image in found:
                sys.stdout.write(json.dumps(image) + "\n")
        else:
            _print_table([image async for image in found])
        return 0

    raise typer.Exit(run(client_as(server, token, user, allow_anonymous=True), work))


def _print_table(images: "list[Image]") -> None:
    from rich.text import Text

    from imagesvc.cli.tables import console, plain_table

    table = plain_table("id", "uploaded", "state", "visibility", "type", "size", "score", "title")
    for image in images:
        table.add_row(
            image["id"],
            f"{dt.datetime.fromisoformat(image['created_at']).astimezone():%Y-%m-%d %H:%M}",
            image["state"],
            image["visibility"],
            (image["media_type"] or "").removeprefix("image/"),
            f"{image['width']}×{image['height']}" if image["width"] else "",
            str(image["score"]["value"]) if image["score"] else "",
            Text(printable(image["title"] or "")),
        )
    console().print(table)
