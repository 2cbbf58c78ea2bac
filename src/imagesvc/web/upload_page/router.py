"""Routes of the upload page.

``GET /u/{token}`` answers browsers here and other clients in ``uploads/router.py``. With the token in the fragment
(``/u#token``), the page fetches itself as ``/u/-`` with an Authorization header, so that no log contains the token.
"""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from imagesvc.errors import ImagesvcError
from imagesvc.http.problems import as_problem
from imagesvc.http.public_path import public_path
from imagesvc.http.request_context import accept_large_body
from imagesvc.http.slow_clients import declared_bytes, timed_body
from imagesvc.http.web_parts import web_part
from imagesvc.links.errors import LinkUsedUp
from imagesvc.links.router import open_link
from imagesvc.links.service import OpenLink
from imagesvc.processing.sniff import EXTENSION_OF
from imagesvc.settings import Settings
from imagesvc.uploads.results import Results
from imagesvc.uploads.service import Uploads
from imagesvc.uploads.upload_request import UploadRequest
from imagesvc.web.rendering import prefers_html, render

RESUMABLE_FROM_BYTES = 8 * 1024 * 1024
"""The page sends files of this size and larger by tus: an interruption then costs only the bytes on their way."""


class BrowserRoute(APIRoute):
    """A route for requests that prefer HTML. All others match the routes after it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http":
            accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
            if not prefers_html(accept.decode("latin-1")):
                return Match.NONE, {}
        return super().matches(scope)


router = APIRouter(include_in_schema=False)
browser_router = APIRouter(include_in_schema=False, route_class=BrowserRoute)


@router.get("/u")
async def upload_page_of_fragment(request: Request) -> HTMLResponse:
    """The page for a token in the fragment, which the browser does not send."""
    return render(request, "upload/fragment.html")


@browser_router.get("/u/{token}")
async def upload_page(request: Request, token: str) -> HTMLResponse:
    """Shows who invites, what may be sent, and the form."""
    try:
        link = await open_link(request, token)
        if link.is_used_up:
            raise LinkUsedUp
    except ImagesvcError as error:
        return _closed(request, error)
    return _page(request, token, link)


@router.post("/u/{token}/form")
async def upload_by_form(request: Request, token: str) -> HTMLResponse:
    """Takes the form of a browser without scripts, and shows what became of each file."""
    uploads = web_part(request, Uploads)
    accept_large_body(request)
    try:
        link = await open_link(request, token)
        source = uploads.source_of_link(link)
        upload = UploadRequest(
            source=source,
            body=timed_body(request),
            declared_bytes=declared_bytes(request),
            results=Results(source, link_path=public_path(f"/u/{token}")),
        )
        await uploads.take_multipart(upload, content_type=request.headers.get("content-type"))
        status, body = upload.results.answer()
        results: Sequence[Mapping[str, object]] = body["results"]
    except ImagesvcError as error:
        found = error.extra.get("results")
        if not isinstance(found, list):
            return _closed(request, error, is_retry_possible=error.status not in (401, 410), token=token)
        status, results = error.status, found  # type: ignore[assignment]
    return render(request, "upload/results.html", status=status, results=results, back=public_path(f"/u/{token}"))


def _page(request: Request, token: str, link: OpenLink) -> HTMLResponse:
    settings = web_part(request, Settings)
    return render(
        request,
        "upload/page.html",
        link=link,
        formats=[media_type.removeprefix("image/").upper() for media_type in EXTENSION_OF],
        accept=",".join(("image/*", *(f".{extension}" for extension in EXTENSION_OF.values()))),
        form_path=public_path(f"/u/{token}/form"),
        resumable_from_bytes=RESUMABLE_FROM_BYTES,
        max_form_files=settings.max_parts,
    )


def _closed(
    request: Request, error: ImagesvcError, *, is_retry_possible: bool = False, token: str | None = None
) -> HTMLResponse:
    request.scope["state"]["problem"] = error.slug
    back = public_path(f"/u/{token}") if is_retry_possible and token else None
    page = render(
        request,
        "upload/closed.html",
        status=error.status,
        problem=as_problem(error),
        slug=error.slug,
        back=back,
    )
    if error.retry_after_seconds is not None:
        page.headers["Retry-After"] = str(error.retry_after_seconds)
    if error.status == 401:
        page.headers["WWW-Authenticate"] = "Bearer"
    return page
