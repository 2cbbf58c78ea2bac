"""Pages of the dashboard: their frame, lists, where a form leads, and failures.

``DashboardRoute`` turns failures into pages, and requests without a session into the sign-in page.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote, urlencode
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from pydantic import ValidationError

from imagesvc.accounts.sessions import Session
from imagesvc.db import new_id
from imagesvc.errors import ImagesvcError, Invalid
from imagesvc.http.pagination import Cursors, Paging
from imagesvc.http.problems import as_problem
from imagesvc.http.public_path import public_path, route_path
from imagesvc.http.validation import failure_of
from imagesvc.http.web_parts import web_part
from imagesvc.web.dashboard.access import HOME, SIGN_IN, SignedOut
from imagesvc.web.rendering import render

PER_PAGE = 50
NOT_OF_A_LIST = frozenset({"cursor", "done"})
"""Parameters of a URL that do not say what a list contains."""
DONE = {
    "created": "Created.",
    "saved": "Saved.",
    "deleted": "Deleted.",
    "revoked": "Revoked.",
    "published": "Published.",
    "hidden": "Made private.",
    "retried": "Started again.",
    "reprocessing": "Processing again in the background.",
    "cancelled": "Cancelled.",
    "redelivered": "Sending again.",
}
"""What happened before a page is shown. Texts of a URL are never shown."""

Row = TypeVar("Row")
Item = TypeVar("Item")
Key = TypeVar("Key", str, UUID)


class Listed(NamedTuple, Generic[Item]):
    """A page of a list, and the URL of the next one."""

    items: Sequence[Item]
    next: str | None


class DashboardRoute(APIRoute):
    """Answers failures with pages, and requests without a session with the sign-in page."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_page(request: Request) -> Response:
            try:
                return await handle(request)
            except SignedOut:
                return to_sign_in(request)
            except RequestValidationError as error:
                return failure_page(request, failure_of(error, request.headers.get("content-type")))
            except ValidationError as error:
                return failure_page(request, _invalid(error))
            except ImagesvcError as error:
                return failure_page(request, error)

        return handle_page


def dashboard_router() -> APIRouter:
    return APIRouter(prefix=HOME, include_in_schema=False, route_class=DashboardRoute)


def page(request: Request, template: str, session: Session, *, status: int = 200, **context: object) -> HTMLResponse:
    """A page for a signed-in account."""
    return render(
        request,
        f"dashboard/{template}.html",
        status=status,
        language="en",
        caller=session.caller,
        form_token=session.form_token,
        form_id=str(new_id()),
        here=route_path(request.scope),
        query=request.query_params,
        done=DONE.get(request.query_params.get("done", ""), ""),
        **context,
    )


def go(path: str, *, done: str | None = None) -> Response:
    """Show another page after a form. ``done`` is a key of ``DONE``."""
    query = f"{'&' if '?' in path else '?'}{urlencode({'done': done})}" if done else ""
    return RedirectResponse(public_path(path) + query, status_code=303)


def to_sign_in(request: Request) -> Response:
    query = request.url.query
    wanted = route_path(request.scope) + (f"?{query}" if query else "") if request.method == "GET" else HOME
    return RedirectResponse(f"{public_path(SIGN_IN)}?next={quote(wanted)}", status_code=303)


def failure_page(request: Request, error: ImagesvcError) -> HTMLResponse:
    request.scope["state"]["problem"] = error.slug
    answer = render(
        request, "dashboard/failure.html", status=error.status, language="en", problem=as_problem(error), here=""
    )
    if error.retry_after_seconds is not None:
        answer.headers["Retry-After"] = str(error.retry_after_seconds)
    return answer


async def listed(
    request: Request,
    session: Session,
    query: str,
    rows_after: Callable[[Key | None, int], Awaitable[Sequence[Row]]],
    *,
    key: tuple[type[Key], Callable[[Row], Key]],
    item: Callable[[Row], Item],
    filters: Mapping[str, object] | None = None,
) -> Listed[Item]:
    """The page of a list that the request asks for; the arguments are those of ``Paging.page``. Raises Malformed."""
    paging = Paging(request, Response(), web_part(request, Cursors), PER_PAGE, request.query_params.get("cursor"))
    found = await paging.page(query, session.caller.user_id, rows_after, key=key, item=item, filters=filters)
    return Listed(found.items, next_url(request, found.next_cursor))


def filters_of(request: Request) -> str:
    """The query of a list without its position."""
    return urlencode([pair for pair in request.query_params.multi_items() if pair[0] not in NOT_OF_A_LIST])


def next_url(request: Request, cursor: str | None) -> str | None:
    if cursor is None:
        return None
    parts = (filters_of(request), urlencode({"cursor": cursor}))
    return f"{public_path(route_path(request.scope))}?{'&'.join(filter(None, parts))}"


def _invalid(error: ValidationError) -> Invalid:
    """Says which field is wrong. A missing one is named too."""
    texts = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        name = " ".join(str(part) for part in item["loc"] if isinstance(part, str)).replace("_", " ")
        texts.append(f"{name}: {item['msg'].removeprefix('Value error, ')}")
    return Invalid(". ".join(texts[:5]))
