"""Who is calling, and with which rights, judged at each request.

One statement a request at most: a credential is looked up together with its account, and what the role allows today
bounds what the credential may do. The operator's token needs none: the built-in account is always an enabled admin.
"""

import dataclasses
import datetime as dt
import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
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
"""The built-in account `admin`; the first migration makes its row."""
MEMBER_SCOPES = frozenset({"upload", "read", "links"})
SCOPES = MEMBER_SCOPES | {"stats", "admin"}
SCOPES_OF_ROLE: Mapping[str, frozenset[str]] = {"admin": SCOPES, "member": MEMBER_SCOPES}
KEY_PREFIX = "imagesvc_"
"""How every API key begins, so that people and secret scanners know one when they see it."""
FRESH = dt.timedelta(minutes=15)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An account and what its credential may do. ``is_admin``: may act on what belongs to others.

    ``logged_in_at`` is when the access token was given out, None for keys; the operator's token counts as always fresh.
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
        """Raises Forbidden without the scope."""
        if scope not in self.scopes:
            raise Forbidden(f"This needs the scope `{scope}`.", extra={"scope": scope})

    def require_login(self) -> None:
        """Raises NotWithAKey. The operator's token may make accounts, so it may as well make keys."""
        if self.logged_in_at is None and not self.is_operator:
            raise NotWithAKey("Log in with a password (`POST /v1/auth/token`) and use that token.")

    def require_fresh_login(self) -> None:
        """Raises NotWithAKey, LoginTooOld."""
        self.require_login()
        if self.logged_in_at is not None and dt.datetime.now(dt.UTC) - self.logged_in_at > FRESH:
            raise LoginTooOld(f"This needs a login of the last {FRESH.seconds // 60} minutes.")


OPERATOR = Caller(user_id=ADMIN_ID, account="admin", scopes=SCOPES, is_operator=True)
"""Whoever has the operator's token, or the database's address and the command line."""


def access_tokens(keys: KeyRing) -> Tokens:
    """``sub`` is the account, ``gen`` its generation of tokens: see ``User.token_generation``."""
    return Tokens(
        keys,
        "access",
        type="at+jwt",
        claims={"sub": UUID, "gen": int},
        bad=BadAccessToken,
        expired=AccessTokenExpired,
    )


class Accounts:
    def __init__(self, settings: Settings, database: Database, keys: KeyRing) -> None:
        token = settings.admin_token
        self._admin_digest = sha256(token.get_secret_value().encode()).digest() if token else None
        self._database = database
        self._tokens = access_tokens(keys)

    async def caller_of(self, authorization: str | None) -> Caller | None:
        """The caller behind an Authorization header; None without one. Raises Unauthenticated for a bad one."""
        if authorization is None:
            return None
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Send `Authorization: Bearer <token>`.")
        digest = sha256(token.encode("utf-8", "surrogateescape")).digest()
        if self._admin_digest is not None and hmac.compare_digest(digest, self._admin_digest):
            return OPERATOR
        if token.startswith(KEY_PREFIX):
            return await self._by_key(digest)
        return await self._by_access_token(token)

    async def _by_access_token(self, token: str) -> Caller:
        said = self._tokens.verify(token)
        row = await self._database.fetch_row(queries.ACCOUNT_OF_ACCESS, said["sub"], said["gen"])
        if row is None:
            raise BadAccessToken
        logged_in_at = dt.datetime.fromtimestamp(said.issued_at, dt.UTC)
        return _caller(row, SCOPES_OF_ROLE[row["role"]], logged_in_at=logged_in_at)

    async def _by_key(self, digest: bytes) -> Caller:
        row = await self._database.fetch_row(queries.ACCOUNT_OF_KEY, digest)
        if row is None:
            raise BadKey
        if row["expired"]:
            raise KeyExpired
        if row["unmarked"]:
            await self._database.fetch_row(queries.MARK_KEY_USED, row["key_id"])
        # a key never outgrows its account's role
        return _caller(row, SCOPES_OF_ROLE[row["role"]].intersection(row["scopes"]))


def _caller(row: Mapping[str, Any], scopes: frozenset[str], *, logged_in_at: dt.datetime | None = None) -> Caller:
    return Caller(user_id=row["id"], account=row["account"], scopes=scopes, logged_in_at=logged_in_at)
