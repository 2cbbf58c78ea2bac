"""Routes: links with their use, QR codes and posters."""

import datetime as dt
from collections.abc import Sequence
from uuid import UUID

import segno
from fastapi import Request, Response
from markupsafe import Markup

from imagesvc.http.web_parts import web_part
from imagesvc.links.models import Link
from imagesvc.links.schemas import LinkChanges, LinkOut, NewLink
from imagesvc.links.service import Links
from imagesvc.settings import Settings
from imagesvc.web.dashboard.access import SentForm, SignedIn, once
from imagesvc.web.dashboard.pages import dashboard_router, go, listed, page

router = dashboard_router()

MB = 1_000_000
SECONDS_OF = {"hours": 3600, "days": 86_400}


def _out(request: Request, link: Link) -> LinkOut:
    settings, links = web_part(request, Settings), web_part(request, Links)
    return LinkOut.of(link, token=links.token(link), base_url=settings.base_url, now=dt.datetime.now(dt.UTC))


@router.get("/links")
async def links(request: Request, session: SignedIn) -> Response:
    """The links of an account, for admins all, and a form for a new one."""

    async def rows(last: UUID | None, limit: int) -> Sequence[Link]:
        return await web_part(request, Links).page(session.caller, before=last, limit=limit)

    found = await listed(
        request, session, "links", rows, key=(UUID, lambda link: link.id), item=lambda link: _out(request, link)
    )
    return page(request, "links", session, links=found.items, next=found.next)


@router.post("/links")
async def create_link(request: Request, form: SentForm) -> Response:
    async def work(link_id: UUID) -> Response:
        seconds = SECONDS_OF.get(form.text("unit") or "days", 86_400)
        wanted = form.model(
            NewLink,
            expires_in=form.number("lifetime", factor=seconds),
            label=form.text("label"),
            max_files=form.number("max_files"),
            max_bytes=form.number("max_megabytes", factor=MB),
            max_file_bytes=form.number("max_file_megabytes", factor=MB),
            visibility=form.text("visibility"),
            store_id=form.text("store_id"),
            camera_id=form.text("camera_id"),
        )
        link = await web_part(request, Links).create(form.caller, wanted, link_id=link_id)
        return go(f"/admin/links/{link.id}", done="created")

    return await once(form, request, work)


@router.get("/links/{link_id:uuid}")
async def link(request: Request, session: SignedIn, link_id: UUID) -> Response:
    """A link: its address, its QR code, its limits and its use."""
    found = _out(request, await web_part(request, Links).get(session.caller, link_id))
    return page(request, "link", session, link=found, private_url=private_url(found), code=qr_code(found.url))


@router.get("/links/{link_id:uuid}/poster")
async def poster(request: Request, session: SignedIn, link_id: UUID) -> Response:
    """A page to print, for the wall of a shop."""
    found = _out(request, await web_part(request, Links).get(session.caller, link_id))
    return page(request, "poster", session, link=found, code=qr_code(found.url))


@router.post("/links/{link_id:uuid}")
async def change_link(request: Request, form: SentForm, link_id: UUID) -> Response:
    """Change label and limits."""
    given = {"label": form.text("label"), "max_files": form.number("max_files")}
    changes = LinkChanges.model_validate(given)
    await web_part(request, Links).change(form.caller, link_id, changes)
    return go(f"/admin/links/{link_id}", done="saved")


@router.post("/links/{link_id:uuid}/revoke")
async def revoke_link(request: Request, form: SentForm, link_id: UUID) -> Response:
    await web_part(request, Links).revoke(form.caller, link_id)
    return go(f"/admin/links/{link_id}", done="revoked")


def private_url(link: LinkOut) -> str:
    """The address with the token in the fragment, which reaches no log."""
    return link.url.replace(f"/u/{link.token}", f"/u#{link.token}")


def qr_code(url: str) -> Markup:
    """The code as SVG, black on white in either color scheme."""
    svg = segno.make(url, error="m").svg_inline(border=3, dark="#000", light="#fff", omitsize=True)
    return Markup(svg)  # noqa: S704 - made here from a URL, of which it contains no text
