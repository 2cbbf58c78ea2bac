"""Routes: links for their owners, and a link as its holder sees it."""

import datetime as dt
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from imagesvc.accounts.router import CurrentCaller, needs_bearer
from imagesvc.errors import Forbidden, Malformed
from imagesvc.http.idempotent_routes import ONCE_PROBLEMS, IdempotencyKey, json_once
from imagesvc.http.pagination import Cursors, Page, fingerprint, link_next
from imagesvc.http.problems import problems
from imagesvc.links.errors import LinkLifetime, LinkLimitBelowUse, LinkNotFound
from imagesvc.links.models import Link
from imagesvc.links.schemas import LinkChanges, LinkOut, NewLink
from imagesvc.links.service import Links
from imagesvc.settings import Settings

router = APIRouter(prefix="/v1/links", tags=["links"], dependencies=[needs_bearer])


def _out(request: Request, link: Link) -> LinkOut:
    links: Links = request.app.state.links
    settings: Settings = request.app.state.settings
    return LinkOut.of(link, token=links.token(link), base_url=settings.base_url, now=dt.datetime.now(dt.UTC))


@router.post("", status_code=201, response_model=LinkOut, responses=problems(Forbidden, LinkLifetime, *ONCE_PROBLEMS))
async def create_link(request: Request, body: NewLink, caller: CurrentCaller, key: IdempotencyKey = None) -> Response:
    """Invite somebody to upload without an account. The URL is the secret: whoever has it may upload."""
    links: Links = request.app.state.links

    async def create(link_id: UUID) -> LinkOut:
        return _out(request, await links.create(caller, body, link_id=link_id))

    return await json_once(request, caller.user_id, key, create, status=201)


@router.get("", responses=problems(Forbidden, Malformed))
async def list_links(
    request: Request,
    response: Response,
    caller: CurrentCaller,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
) -> Page[LinkOut]:
    """Your links, the newest first; an admin sees all."""
    links: Links = request.app.state.links
    cursors: Cursors = request.app.state.cursors
    query = fingerprint("links", caller.user_id, {})
    before = cursors.decode(cursor, query)[0] if cursor else None
    found = await links.page(caller, before=before if isinstance(before, UUID) else None, limit=limit + 1)
    shown = found[:limit]
    next_cursor = cursors.encode(query, [shown[-1].id]) if len(found) > limit else None
    link_next(request, response, next_cursor)
    return Page(items=[_out(request, link) for link in shown], next_cursor=next_cursor)


@router.get("/{link_id}", responses=problems(Forbidden, LinkNotFound))
async def get_link(request: Request, link_id: UUID, caller: CurrentCaller) -> LinkOut:
    """One link with what it has taken so far."""
    links: Links = request.app.state.links
    return _out(request, await links.get(caller, link_id))


@router.patch("/{link_id}", responses=problems(Forbidden, LinkNotFound, LinkLifetime, LinkLimitBelowUse))
async def change_link(request: Request, link_id: UUID, body: LinkChanges, caller: CurrentCaller) -> LinkOut:
    """Shorten a link's life or change its limits, never below what it has already taken."""
    links: Links = request.app.state.links
    return _out(request, await links.change(caller, link_id, body))


@router.delete("/{link_id}", status_code=204, responses=problems(Forbidden, LinkNotFound))
async def revoke_link(request: Request, link_id: UUID, caller: CurrentCaller) -> None:
    """Stop a link at once. What was uploaded stays."""
    links: Links = request.app.state.links
    await links.revoke(caller, link_id)
