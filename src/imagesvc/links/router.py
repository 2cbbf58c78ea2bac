"""Routes of links for their owners, and the dependency that opens the link of a request."""

import datetime as dt
from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from imagesvc.accounts.router import CurrentCaller, needs_bearer
from imagesvc.errors import Forbidden, Malformed, Unauthenticated
from imagesvc.http.idempotent_routes import IDEMPOTENCY_PROBLEMS, IdempotencyKey, idempotent_json
from imagesvc.http.pagination import Page, PagingPart
from imagesvc.http.problems import problems
from imagesvc.http.web_parts import part, web_part
from imagesvc.links.errors import LinkLifetime, LinkLimitBelowUse, LinkNotFound
from imagesvc.links.models import Link
from imagesvc.links.schemas import LinkChanges, LinkOut, NewLink
from imagesvc.links.service import Links, OpenLink
from imagesvc.settings import Settings

router = APIRouter(prefix="/v1/links", tags=["links"], dependencies=[needs_bearer])
LinksPart = Annotated[Links, Depends(part(Links))]


def _out(request: Request, link: Link) -> LinkOut:
    links = web_part(request, Links)
    settings = web_part(request, Settings)
    return LinkOut.of(link, token=links.token(link), base_url=settings.base_url, now=dt.datetime.now(dt.UTC))


@router.post(
    "", status_code=201, response_model=LinkOut, responses=problems(Forbidden, LinkLifetime, *IDEMPOTENCY_PROBLEMS)
)
async def create_link(
    request: Request, body: NewLink, caller: CurrentCaller, links: LinksPart, key: IdempotencyKey = None
) -> Response:
    """Invite people to upload without an account. The URL is a secret: everyone who has it can upload."""

    async def create(link_id: UUID) -> LinkOut:
        return _out(request, await links.create(caller, body, link_id=link_id))

    return await idempotent_json(request, caller.user_id, key, create, status=201)


@router.get("", responses=problems(Forbidden, Malformed))
async def list_links(request: Request, caller: CurrentCaller, links: LinksPart, paging: PagingPart) -> Page[LinkOut]:
    """Your links, the newest first; an admin sees all."""

    async def rows(last: UUID | None, limit: int) -> Sequence[Link]:
        return await links.page(caller, before=last, limit=limit)

    return await paging.page(
        "links", caller.user_id, rows, key=(UUID, lambda link: link.id), item=lambda link: _out(request, link)
    )


@router.get("/{link_id}", responses=problems(Forbidden, LinkNotFound))
async def get_link(request: Request, link_id: UUID, caller: CurrentCaller, links: LinksPart) -> LinkOut:
    """One link with its limits and its use."""
    return _out(request, await links.get(caller, link_id))


@router.patch("/{link_id}", responses=problems(Forbidden, LinkNotFound, LinkLifetime, LinkLimitBelowUse))
async def change_link(
    request: Request, link_id: UUID, body: LinkChanges, caller: CurrentCaller, links: LinksPart
) -> LinkOut:
    """Shorten a link's lifetime or change its limits, never below what the link has already used."""
    return _out(request, await links.change(caller, link_id, body))


@router.delete("/{link_id}", status_code=204, responses=problems(Forbidden, LinkNotFound))
async def revoke_link(request: Request, link_id: UUID, caller: CurrentCaller, links: LinksPart) -> None:
    """Revoke a link at once. The images uploaded through it stay."""
    await links.revoke(caller, link_id)


async def open_link(request: Request, token: str) -> OpenLink:
    """The link of a request; see ``link_of_request``."""
    return await link_of_request(request, token, is_expired_allowed=False)


async def link_of_request(request: Request, token: str, *, is_expired_allowed: bool) -> OpenLink:
    """The link of the path's token, or of the Authorization header when the path has `-` in the token's place.

    Raises Unauthenticated, BadLinkToken, LinkExpired, LinkRevoked.
    """
    links = web_part(request, Links)
    if token == "-":  # noqa: S105 - a placeholder
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Send the link's token as `Authorization: Bearer <token>`.")
    return await links.open(token.strip(), is_expired_allowed=is_expired_allowed)


CurrentLink = Annotated[OpenLink, Depends(open_link)]
