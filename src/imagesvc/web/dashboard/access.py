"""Who may use a page of the dashboard: sessions, forms, and failures as pages.

A form counts only when a page of this service sent it: the browser's Origin is this service, and the form contains the
token of the session. Both are checked before anything else.
"""

import dataclasses
import hmac
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from imagesvc.accounts.service import Caller
from imagesvc.accounts.sessions import Session, WebSessions
from imagesvc.db import new_id
from imagesvc.errors import Forbidden, ImagesvcError, Invalid
from imagesvc.http.forms import read_form
from imagesvc.http.idempotent_routes import idempotent_response
from imagesvc.http.pagination import Cursors, Page, Paging
from imagesvc.http.problems import as_problem
from imagesvc.http.public_path import public_path, route_path
from imagesvc.http.validation import failure_of
from imagesvc.http.web_parts import web_part
from imagesvc.settings import Settings
from imagesvc.web.rendering import page_headers, render

MAX_FORM_BYTES = 256 * 1024
MAX_FORM_FIELDS = 1000
HOME = "/admin"
SIGN_IN = "/admin/sign-in"
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
    "imported": "Imported.",
}
"""What happened before a page is shown. Texts of a URL are never shown."""
Model = TypeVar("Model", bound=BaseModel)


class ForeignForm(Forbidden):
    """A page of another site sent this form, or the page that contained it is too old. Reload the page."""

    slug, title = "foreign-form", "The form does not belong to this session"


class SignedOut(ImagesvcError):
    """There is no session, or it has ended. Sign in again."""

    status, slug, title = 401, "signed-out", "Sign in to continue"


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


def cookie_name(settings: Settings) -> str:
    """With https, the prefix makes browsers refuse the cookie from anywhere but this host."""
    return "__Host-imagesvc_session" if is_secure(settings) else "imagesvc_session"


def is_secure(settings: Settings) -> bool:
    return settings.base_url.startswith("https:")


def cookie_of(request: Request) -> str | None:
    return request.cookies.get(cookie_name(web_part(request, Settings)))


async def signed_in(request: Request) -> Session:
    """The session of a request. Raises SignedOut."""
    session = await web_part(request, WebSessions).open(cookie_of(request))
    if session is None:
        raise SignedOut
    request.scope["state"]["caller_id"] = str(session.caller.user_id)
    return session


SignedIn = Annotated[Session, Depends(signed_in)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The fields of a form of the session. Empty fields count as absent."""

    session: Session
    fields: Sequence[tuple[str, str]]

    @property
    def caller(self) -> Caller:
        return self.session.caller

    def text(self, name: str) -> str | None:
        return next((value.strip() for key, value in self.fields if key == name and value.strip()), None)

    def raw(self, name: str) -> str | None:
        """The value with its spaces, for passwords."""
        return next((value for key, value in self.fields if key == name and value), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name and value]

    def number(self, name: str, *, factor: int = 1) -> int | None:
        """A whole number times ``factor``. Raises Invalid."""
        text = self.text(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise Invalid(f"{name.replace('_', ' ')}: a whole number is needed.")
        return int(text) * factor

    def ids(self, name: str) -> list[UUID]:
        """Raises Invalid."""
        try:
            return [UUID(value) for value in self.all(name)]
        except ValueError:
            raise Invalid(f"{name}: not an id.") from None

    def model(self, kind: type[Model], **values: object) -> Model:
        """The validated body of the API route with these values; absent ones are left out. Raises ValidationError."""
        return kind.model_validate({name: value for name, value in values.items() if value is not None})


async def form_of_session(request: Request, session: SignedIn) -> Form:
    """Raises SignedOut, ForeignForm, Invalid, Malformed."""
    require_own_origin(request)
    fields = await read_form(request, max_bytes=MAX_FORM_BYTES, max_fields=MAX_FORM_FIELDS)
    form = Form(session=session, fields=fields)
    if not hmac.compare_digest((form.text("form_token") or "").encode(), session.form_token.encode()):
        raise ForeignForm("Reload the page and send the form again.")
    return form


SentForm = Annotated[Form, Depends(form_of_session)]


def require_own_origin(request: Request) -> None:
    """The browser says which site sent a form: Origin, or where that is hidden, Sec-Fetch-Site. Raises ForeignForm."""
    origin = request.headers.get("origin", "null")
    if origin == "null":
        is_own = request.headers.get("sec-fetch-site") == "same-origin"
    else:
        allowed = {urlsplit(web_part(request, Settings).base_url).netloc, request.headers.get("host")}
        is_own = urlsplit(origin).netloc in allowed
    if not is_own:
        raise ForeignForm("Forms of other sites are not accepted.")


async def once(form: Form, request: Request, work: Callable[[UUID], Awaitable[Response]]) -> Response:
    """The answer of ``work``, or its stored answer if the same form is sent again.

    ``work`` gets an id for what it creates.
    """
    key = form.text("form_id")
    if key is None:
        return await work(new_id())
    body = urlencode(form.fields).encode()
    answer = await idempotent_response(request, form.caller.user_id, f"form:{key}", body, work)
    answer.headers.update(page_headers())
    return answer


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


def _invalid(error: ValidationError) -> Invalid:
    """Says which field is wrong. A missing one is named too."""
    texts = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        name = " ".join(str(part) for part in item["loc"] if isinstance(part, str)).replace("_", " ")
        texts.append(f"{name}: {item['msg'].removeprefix('Value error, ')}")
    return Invalid(". ".join(texts[:5]))


def paging(request: Request, *, limit: int = 50) -> Paging:
    """The page of a list that the query of a dashboard page asks for."""
    return Paging(request, Response(), web_part(request, Cursors), limit, request.query_params.get("cursor"))


def next_url(request: Request, found: Page[Any]) -> str | None:
    """The URL of the next page of a list."""
    return url_of_cursor(request, found.next_cursor)


def url_of_cursor(request: Request, cursor: str | None) -> str | None:
    if cursor is None:
        return None
    parameters = [pair for pair in request.query_params.multi_items() if pair[0] not in ("cursor", "done")]
    return f"{public_path(route_path(request.scope))}?{urlencode([*parameters, ('cursor', cursor)])}"
