"""A link's token: a JWT (RFC 7519) that carries nothing but the row's id and the times."""

import datetime as dt
import math
import time
from functools import lru_cache
from typing import Any
from uuid import UUID

import jwt

from imagesvc.keyring import KeyRing
from imagesvc.links.errors import BadLinkToken, LinkExpired

ISSUER, AUDIENCE, TYPE, ALGORITHM = "imagesvc", "link", "link+jwt", "HS256"
REMEMBERED = 1024
REQUIRED = ["exp", "iat", "iss", "aud", "jti"]


def issue(keys: KeyRing, link_id: UUID, *, created_at: dt.datetime, expires_at: dt.datetime) -> str:
    kid, key = keys.signing("link")
    # the token counts in whole seconds, and must not end before its row, which is exact
    expires = math.ceil(expires_at.timestamp())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "jti": str(link_id), "iat": created_at, "exp": expires}
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": kid, "typ": TYPE})


class Verifier:
    """Verifies tokens; one that was found good is remembered: a link's uploads all carry the same."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys
        self._signed = lru_cache(maxsize=REMEMBERED)(self._decode)

    def verify(self, token: str, *, is_expired_allowed: bool = False) -> UUID:
        """The id of the link's row. Raises BadLinkToken, or LinkExpired once the signature is known to be ours."""
        link_id, expires_at = self._signed(token)
        if expires_at <= time.time() and not is_expired_allowed:
            raise LinkExpired
        return link_id

    def _decode(self, token: str) -> tuple[UUID, float]:
        try:
            header = jwt.get_unverified_header(token)
            key = self._keys.verifying("link", str(header.get("kid", "")))
            if header.get("typ") != TYPE or key is None:
                raise BadLinkToken
            # its expiry is looked at each time, here it only has to be there; when it was made is the database's clock,
            # which may be ahead of ours
            options: Any = {"require": REQUIRED, "verify_exp": False, "verify_iat": False}
            claims = jwt.decode(token, key, algorithms=[ALGORITHM], issuer=ISSUER, audience=AUDIENCE, options=options)
            return UUID(claims["jti"]), float(claims["exp"])
        except (jwt.InvalidTokenError, ValueError, TypeError) as error:
            raise BadLinkToken from error
