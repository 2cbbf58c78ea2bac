"""Authentication and permissions: the caller behind a credential, determined anew for each request.

A request costs one statement, which reads the credential together with its account. The current role of the account
limits what the credential permits. The admin token costs no statement, because the built-in account is always an
enabled admin.
"""

import dataclasses
import datetime as dt
import hmac
from collections.abc import Mapping
from hashlib import sha256
from uuid import UUID

from imagesvc.accounts import queries
from imagesvc.accounts.errors import (
    AccessTokenExpired,
    BadAccessToken,
    BadKey,
    KeyExpired,
    LoginTooOld,
    NotWithAKey,
)
from imagesvc.db import Database
from imagesvc.errors import Forbidden, Unauthenticated
from imagesvc.keyring import KeyRing
from imagesvc.settings import Settings
from imagesvc.signed_tokens import Tokens

ADMIN_ID = UUID("00000000-0000-7000-8000-000000000001")
"""The built-in account `admin`. The first migration inserts its row."""
MEMBER_SCOPES = frozenset({"upload", "read", "links"})
SCOPES = MEMBER_SCOPES | {"stats", "admin"}
SCOPES_OF_ROLE: Mapping[str, frozenset[str]] = {"admin": SCOPES, "member": MEMBER_SCOPES}
KEY_PREFIX = "imagesvc_"
"""The start of every API key, by which people and secret scanners recognize one."""
FRESH_LOGIN = dt.timedelta(minutes=15)
"""Age of a login that may change or delete its own account."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An account, and the scopes of the credential. ``is_admin``: may act on data of other accounts.

    ``logged_in_at`` is when the access token was issued, None for API keys and the admin token (``is_operator``).
    """

    user_id: UUID
    account: str
    scopes: frozenset[str]
    logged_in_at: dt.datetime | None = None
    is_operator: bool = False

    @property
    def is_admin(self) -> bool:
        return "admin" in self.scopes

    def require(self, scope: str) -> None:
        """Raises Forbidden when the caller lacks the scope."""
        if scope not in self.scopes:
            raise Forbidden(f"This requires the scope `{scope}`.", extra={"scope": scope})

    def require_login(self) -> None:
        """Raises NotWithAKey for API keys. The admin token may create accounts, so it may also create keys."""
        if self.logged_in_at is None and not self.is_operator:
            raise NotWithAKey("Log in with a password (`POST /v1/auth/token`) and use that token.")

    def require_fresh_login(self) -> None:
        """Raises NotWithAKey for API keys, LoginTooOld for an access token older than ``FRESH_LOGIN``."""
        self.require_login()
        if self.logged_in_at is not None and dt.datetime.now(dt.UTC) - self.logged_in_at > FRESH_LOGIN:
            raise LoginTooOld(f"This requires a login within the last {FRESH_LOGIN.seconds // 60} minutes.")


OPERATOR = Caller(user_id=ADMIN_ID, account="admin", scopes=SCOPES, is_operator=True)
"""The caller with the admin token, and the command line, which connects to the database directly."""


def access_tokens(keys: KeyRing) -> Tokens:
    """The tokens of logins. ``sub`` is the id of the account, ``gen`` its ``User.token_generation``."""
    return Tokens(
        keys,
        "access",
        type="at+jwt",
        claims={"sub": UUID, "gen": int},
        bad=BadAccessToken,
        expired=AccessTokenExpired,
    )


class Accounts:
    """Authenticates requests."""

    def __init__(self, settings: Settings, database: Database, keys: KeyRing) -> None:
        token = settings.admin_token
        self.admin_token_digest = sha256(token.get_secret_value().encode()).digest() if token else None
        self._database = database
        self._tokens = access_tokens(keys)

    async def caller_of(self, authorization: str | None) -> Caller | None:
        """The caller of an Authorization header, None without a header.

        Raises Unauthenticated, BadAccessToken, AccessTokenExpired, BadKey, KeyExpired.
        """
        if authorization is None:
            return None
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Send `Authorization: Bearer <token>`.")
        digest = sha256(token.encode("utf-8", "surrogateescape")).digest()
        if self._is_admin_digest(digest):
            return OPERATOR
        if token.startswith(KEY_PREFIX):
            return await self._by_key(digest)
        return await self._by_access_token(token)

    def is_admin_token(self, token: str) -> bool:
        """Whether this is the configured admin token."""
        return self._is_admin_digest(sha256(token.strip().encode("utf-8", "surrogateescape")).digest())

    def _is_admin_digest(self, digest: bytes) -> bool:
        return self.admin_token_digest is not None and hmac.compare_digest(digest, self.admin_token_digest)

    async def _by_access_token(self, token: str) -> Caller:
        verified = self._tokens.verify(token)
        account = await self._database.fetch_one_or_none(
            queries.ACCOUNT_BY_ACCESS, queries.TokenAccount, verified["sub"], verified["gen"]
        )
        if account is None:
            raise BadAccessToken
        return Caller(
            user_id=account.id,
            account=account.account,
            scopes=SCOPES_OF_ROLE[account.role],
            logged_in_at=dt.datetime.fromtimestamp(verified.issued_at, dt.UTC),
        )

    async def _by_key(self, digest: bytes) -> Caller:
        found = await self._database.fetch_one_or_none(queries.ACCOUNT_BY_KEY, queries.KeyAccount, digest)
        if found is None:
            raise BadKey
        if found.expired:
            raise KeyExpired
        if found.unmarked:
            await self._database.fetch_row(queries.MARK_KEY_USED, found.key_id)
        # a key loses the scopes that its account's role no longer has
        scopes = SCOPES_OF_ROLE[found.role].intersection(found.scopes)
        return Caller(user_id=found.id, account=found.account, scopes=scopes)
