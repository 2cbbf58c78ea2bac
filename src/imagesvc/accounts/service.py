"""Who is calling, and with which rights, judged at each request."""

import dataclasses
import hmac
from hashlib import sha256
from uuid import UUID

from imagesvc.errors import Forbidden, Unauthenticated
from imagesvc.settings import Settings

ADMIN_ID = UUID("00000000-0000-7000-8000-000000000001")
"""The built-in account `admin`; the first migration makes its row."""
SCOPES = frozenset({"upload", "read", "links", "stats", "admin"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An account and what its credential may do. ``is_admin``: may act on what belongs to others."""

    user_id: UUID
    account: str
    scopes: frozenset[str]

    @property
    def is_admin(self) -> bool:
        return "admin" in self.scopes

    def require(self, scope: str) -> None:
        """Raises Forbidden without the scope."""
        if scope not in self.scopes:
            raise Forbidden(f"This needs the scope `{scope}`.", extra={"scope": scope})


class Accounts:
    def __init__(self, settings: Settings) -> None:
        token = settings.admin_token
        self._admin_digest = sha256(token.get_secret_value().encode()).digest() if token else None

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
            return Caller(user_id=ADMIN_ID, account="admin", scopes=SCOPES)
        raise Unauthenticated("This token is not known here.")
