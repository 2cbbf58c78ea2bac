"""The caller of a request, as routes of every feature ask for it."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from imagesvc.accounts.service import Accounts, Caller
from imagesvc.errors import Unauthenticated

bearer = HTTPBearer(
    auto_error=False, scheme_name="bearer", description="The admin token, an access token or an API key."
)


async def optional_caller(request: Request) -> Caller | None:
    """Nobody when no credential was sent; a bad credential is 401 on public routes too."""
    accounts: Accounts = request.app.state.accounts
    caller = await accounts.caller_of(request.headers.get("authorization"))
    if caller is not None:
        request.scope.setdefault("state", {})["caller_id"] = str(caller.user_id)
    return caller


async def current_caller(request: Request) -> Caller:
    caller = await optional_caller(request)
    if caller is None:
        raise Unauthenticated("Send `Authorization: Bearer <token>`.")
    return caller


OptionalCaller = Annotated[Caller | None, Depends(optional_caller)]
CurrentCaller = Annotated[Caller, Depends(current_caller)]
needs_bearer = Depends(bearer)
"""Shows the padlock in the OpenAPI page; the check itself is ``current_caller``."""
