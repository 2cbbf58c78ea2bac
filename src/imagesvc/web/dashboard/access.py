"""Who may use a page of the dashboard: the session of a request, and the forms that count.

A form counts only when a page of this service sent it: the browser's Origin is this service, and the form contains the
token of the session. Both are checked before anything else.
"""

import dataclasses
import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, TypeVar
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import BaseModel

from imagesvc.accounts.service import Caller
from imagesvc.accounts.sessions import Session, WebSessions
from imagesvc.db import new_id
from imagesvc.errors import Forbidden, ImagesvcError, Invalid
from imagesvc.http.forms import read_form
from imagesvc.http.idempotent_routes import idempotent_response
from imagesvc.http.web_parts import web_part
from imagesvc.settings import Settings
from imagesvc.web.rendering import page_headers

MAX_FORM_BYTES = 256 * 1024
MAX_FORM_FIELDS = 1000
HOME = "/admin"
SIGN_IN = "/admin/sign-in"
Model = TypeVar("Model", bound=BaseModel)


class ForeignForm(Forbidden):
    """A page of another site sent this form, or the page that contained it is too old. Reload the page."""

    slug, title = "foreign-form", "The form does not belong to this session"


class SignedOut(ImagesvcError):
    """There is no session, or it has ended. Sign in again."""

    status, slug, title = 401, "signed-out", "Sign in to continue"


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
