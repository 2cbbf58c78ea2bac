"""Routes for accounts, API keys and access tokens, and the dependencies that give any route its caller."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPBearer, OAuth2PasswordBearer

from imagesvc.accounts.errors import (
    AccountTaken,
    BuiltInAccount,
    KeyNotFound,
    LoginTooOld,
    NotWithAKey,
    ScopeBeyondRole,
    TooManyFailures,
    TooManyLogins,
    UserNotFound,
    WeakPassword,
    WrongPassword,
)
from imagesvc.accounts.keys import ApiKeys
from imagesvc.accounts.logins import Logins
from imagesvc.accounts.models import ApiKey, User
from imagesvc.accounts.schemas import CreatedKey, KeyOut, Me, NewKey, NewUser, TokenResponse, UserChanges, UserOut
from imagesvc.accounts.service import Accounts, Caller
from imagesvc.accounts.users import Users
from imagesvc.errors import Forbidden, Invalid, Malformed, Unauthenticated
from imagesvc.http.forms import read_form
from imagesvc.http.pagination import Page, PagingPart
from imagesvc.http.problems import problems
from imagesvc.http.web_parts import part, web_part

MAX_FORM_BYTES = 16 * 1024
MAX_FORM_FIELDS = 20
LOGIN_FORM: dict[str, object] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["username", "password"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["password"], "default": "password"},
                        "username": {"type": "string", "description": "the account's name"},
                        "password": {"type": "string", "format": "password"},
                    },
                }
            }
        },
    }
}

bearer = HTTPBearer(
    auto_error=False, scheme_name="bearer", description="The admin token, an access token or an API key."
)
by_password = OAuth2PasswordBearer(
    tokenUrl="v1/auth/token", auto_error=False, scheme_name="password", description="Log in with account and password."
)


async def optional_caller(request: Request) -> Caller | None:
    """The caller, None without a credential. Raises Unauthenticated for an invalid one, also on public routes."""
    accounts = web_part(request, Accounts)
    caller = await accounts.caller_of(request.headers.get("authorization"))
    if caller is not None:
        request.scope.setdefault("state", {})["caller_id"] = str(caller.user_id)
    return caller


async def current_caller(request: Request) -> Caller:
    """The caller. Raises Unauthenticated without a credential."""
    caller = await optional_caller(request)
    if caller is None:
        raise Unauthenticated("Send `Authorization: Bearer <token>`.")
    return caller


def _either(_bearer: Annotated[object, Depends(bearer)], _password: Annotated[object, Depends(by_password)]) -> None:
    """Declares both ways to obtain the Authorization header, for the OpenAPI page."""


OptionalCaller = Annotated[Caller | None, Depends(optional_caller)]
CurrentCaller = Annotated[Caller, Depends(current_caller)]
needs_bearer = Depends(_either)
"""Marks a route as protected in the OpenAPI page. The check itself is ``current_caller``."""

OPTIONAL_BEARER: dict[str, list[dict[str, list[str]]]] = {"security": [{}, {"bearer": []}, {"password": []}]}
"""For ``openapi_extra=`` of a route with ``OptionalCaller``: it also answers without a credential."""

router = APIRouter(prefix="/v1")
LoginsPart = Annotated[Logins, Depends(part(Logins))]
UsersPart = Annotated[Users, Depends(part(Users))]
ApiKeysPart = Annotated[ApiKeys, Depends(part(ApiKeys))]


@router.post(
    "/auth/token",
    tags=["accounts"],
    responses=problems(WrongPassword, Malformed, Invalid, TooManyFailures, TooManyLogins),
    openapi_extra=LOGIN_FORM,
)
async def log_in(request: Request, response: Response, logins: LoginsPart) -> TokenResponse:
    """Log in: exchange account and password for an access token (OAuth 2.0 password form).

    Repeated failures make further attempts wait.
    """
    form = dict(await read_form(request, max_bytes=MAX_FORM_BYTES, max_fields=MAX_FORM_FIELDS))
    wrong = [{"pointer": f"/{name}", "detail": "Required."} for name in ("username", "password") if not form.get(name)]
    if form.get("grant_type", "password") != "password":
        wrong.append({"pointer": "/grant_type", "detail": "The value must be `password`."})
    if wrong:
        raise Invalid(f"{wrong[0]['pointer']}: {wrong[0]['detail']}", errors=wrong)
    response.headers["Cache-Control"] = "no-store"
    address = request.client.host if request.client else None
    return await logins.log_in(form["username"], form["password"], address=address)


@router.post(
    "/users",
    tags=["accounts"],
    status_code=201,
    responses=problems(Forbidden, AccountTaken, WeakPassword),
    dependencies=[needs_bearer],
)
async def create_user(request: Request, body: NewUser, caller: CurrentCaller, users: UsersPart) -> UserOut:
    """Create an account. Admins only."""
    return UserOut.of(await users.create(caller, body))


@router.get("/users", tags=["accounts"], responses=problems(Forbidden, Malformed), dependencies=[needs_bearer])
async def list_users(caller: CurrentCaller, users: UsersPart, paging: PagingPart) -> Page[UserOut]:
    """List all accounts, the oldest first. Admins only."""

    async def rows(last: UUID | None, limit: int) -> Sequence[User]:
        return await users.page(caller, after=last, limit=limit)

    return await paging.page("users", caller.user_id, rows, key=(UUID, lambda user: user.id), item=UserOut.of)


@router.get("/users/me", tags=["accounts"], dependencies=[needs_bearer])
async def who_am_i(request: Request, caller: CurrentCaller, users: UsersPart) -> Me:
    """Get your own account, and the scopes of the credential that you sent."""
    user = UserOut.of(await users.get(caller, caller.user_id))
    return Me(**user.model_dump(), scopes=sorted(caller.scopes))


@router.get("/users/{user_id:uuid}", tags=["accounts"], responses=problems(UserNotFound), dependencies=[needs_bearer])
async def get_user(request: Request, user_id: UUID, caller: CurrentCaller, users: UsersPart) -> UserOut:
    """Get an account: your own, or any for an admin."""
    return UserOut.of(await users.get(caller, user_id))


@router.patch(
    "/users/{user_id:uuid}",
    tags=["accounts"],
    responses=problems(Forbidden, NotWithAKey, LoginTooOld, BuiltInAccount, UserNotFound, WeakPassword),
    dependencies=[needs_bearer],
)
async def change_user(
    request: Request, user_id: UUID, body: UserChanges, caller: CurrentCaller, users: UsersPart
) -> UserOut:
    """Change an account: its password, and as an admin its role, and whether it is disabled.

    To set your own password, log in again within the last 15 minutes. A new password and disabling end all access
    tokens of the account. While an account is disabled, its API keys, links and shares do not work.
    """
    return UserOut.of(await users.change(caller, user_id, body))


@router.delete(
    "/users/{user_id:uuid}",
    tags=["accounts"],
    status_code=204,
    responses=problems(NotWithAKey, LoginTooOld, BuiltInAccount, UserNotFound),
    dependencies=[needs_bearer],
)
async def delete_user(request: Request, user_id: UUID, caller: CurrentCaller, users: UsersPart) -> None:
    """Delete an account with all its images. They disappear at once; files are deleted in the background."""
    await users.delete(caller, user_id)


@router.post(
    "/api-keys",
    tags=["accounts"],
    status_code=201,
    responses=problems(NotWithAKey, ScopeBeyondRole),
    dependencies=[needs_bearer],
)
async def create_key(
    request: Request, response: Response, body: NewKey, caller: CurrentCaller, keys: ApiKeysPart
) -> CreatedKey:
    """Create an API key for a device or a script. Only this response shows it. An API key cannot create keys."""
    row, key = await keys.create(caller, body)
    response.headers["Cache-Control"] = "no-store"
    return CreatedKey(**KeyOut.of(row).model_dump(), key=key)


@router.get("/api-keys", tags=["accounts"], responses=problems(NotWithAKey, Malformed), dependencies=[needs_bearer])
async def list_keys(caller: CurrentCaller, keys: ApiKeysPart, paging: PagingPart) -> Page[KeyOut]:
    """List your API keys, the newest first, with their first characters, scopes and time of last use."""

    async def rows(last: UUID | None, limit: int) -> Sequence[ApiKey]:
        return await keys.page(caller, before=last, limit=limit)

    return await paging.page("api-keys", caller.user_id, rows, key=(UUID, lambda key: key.id), item=KeyOut.of)


@router.delete(
    "/api-keys/{key_id}",
    tags=["accounts"],
    status_code=204,
    responses=problems(NotWithAKey, KeyNotFound),
    dependencies=[needs_bearer],
)
async def revoke_key(request: Request, key_id: UUID, caller: CurrentCaller, keys: ApiKeysPart) -> None:
    """Revoke an API key at once."""
    await keys.revoke(caller, key_id)
