"""Sessions of the dashboard: a random cookie, whose hash names a row in the database.

The cookie counts only below `/admin`: the API and the upload routes ignore it. A form is accepted with the token that
is derived from the cookie, which pages of other sites cannot read.
"""

import base64
import dataclasses
import hmac
import secrets
from hashlib import sha256
from uuid import UUID

import structlog

from imagesvc.accounts import queries
from imagesvc.accounts.errors import WrongPassword
from imagesvc.accounts.logins import Logins
from imagesvc.accounts.queries import SessionRow
from imagesvc.accounts.service import ADMIN_ID, OPERATOR, SCOPES_OF_ROLE, Accounts, Caller
from imagesvc.db import Database
from imagesvc.keyring import KeyRing
from imagesvc.settings import Settings

log = structlog.get_logger(__name__)

COOKIE_BYTES = 32
ADMIN_ACCOUNT = "admin"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A signed-in browser. Forms must contain ``form_token``."""

    caller: Caller
    form_token: str


class WebSessions:
    def __init__(
        self, settings: Settings, database: Database, keys: KeyRing, accounts: Accounts, logins: Logins
    ) -> None:
        self._seconds = float(settings.web_session_seconds)
        self._database = database
        self._keys = keys
        self._accounts = accounts
        self._logins = logins

    async def sign_in(self, account: str, password: str, *, address: str | None) -> str:
        """Start a session and return its cookie. The admin token is a password of the account `admin`.

        Raises WrongPassword, TooManyFailures, TooManyLogins.
        """
        if account.strip().lower() == ADMIN_ACCOUNT and self._accounts.is_admin_token(password):
            return await self._start(ADMIN_ID, self._accounts.admin_token_digest)
        found = await self._logins.authenticate(account, password, address=address)
        return await self._start(found.id, None)

    async def _start(self, user_id: UUID, admin_token_digest: bytes | None) -> str:
        cookie = secrets.token_urlsafe(COOKIE_BYTES)
        arguments = (_digest(cookie), user_id, admin_token_digest, self._seconds)
        if await self._database.fetch_row(queries.INSERT_SESSION, *arguments) is None:
            raise WrongPassword  # disabled in the meantime
        log.info("signed in to the dashboard", user_id=str(user_id), by_admin_token=admin_token_digest is not None)
        return cookie

    async def open(self, cookie: str | None) -> Session | None:
        """The session of a cookie, None when there is no such session or it has ended."""
        if not cookie:
            return None
        row = await self._database.fetch_one_or_none(queries.SESSION, SessionRow, _digest(cookie))
        if row is None:
            return None
        caller = OPERATOR
        if row.admin_token_digest is None:
            scopes = SCOPES_OF_ROLE[row.role]
            caller = Caller(user_id=row.id, account=row.account, scopes=scopes, logged_in_at=row.created_at)
        elif not hmac.compare_digest(row.admin_token_digest, self._accounts.admin_token_digest or b""):
            return None
        return Session(caller=caller, form_token=self.form_token(cookie))

    async def end(self, cookie: str | None) -> None:
        if cookie:
            await self._database.fetch_row(queries.DELETE_SESSION, _digest(cookie))

    def form_token(self, cookie: str) -> str:
        _, key = self._keys.signing("session")
        return base64.urlsafe_b64encode(hmac.digest(key, cookie.encode(), sha256)).rstrip(b"=").decode()


def _digest(cookie: str) -> bytes:
    return sha256(cookie.encode("utf-8", "surrogateescape")).digest()
