"""Tokens that we sign: JSON Web Tokens (RFC 7519), each sort with a key, an audience and a type of its own.

Algorithm, issuer, audience and type are pinned (RFC 8725), so that a token of one sort is never taken for another. A
token says which row it stands for; what the row says is judged by whoever verifies, at each request.
"""

import datetime as dt
import math
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jwt

from imagesvc.errors import ImagesvcError
from imagesvc.keyring import KeyRing, Purpose

ISSUER, ALGORITHM = "imagesvc", "HS256"
REMEMBERED = 1024

Claims = Mapping[str, Any]


class Tokens:
    """One sort of token. ``claims`` are what each carries besides the times; ``bad`` and ``expired`` are raised."""

    def __init__(
        self,
        keys: KeyRing,
        purpose: Purpose,
        *,
        type: str,
        claims: Mapping[str, type],
        bad: type[ImagesvcError],
        expired: type[ImagesvcError],
    ) -> None:
        self._keys, self._purpose, self._type = keys, purpose, type
        self._claims, self._bad, self._expired = claims, bad, expired
        # one that was found good is remembered: the same comes again with every request
        self._signed = lru_cache(maxsize=REMEMBERED)(self._decode)

    def issue(self, claims: Claims, *, issued_at: dt.datetime, expires_at: dt.datetime) -> str:
        kid, key = self._keys.signing(self._purpose)
        # a token counts in whole seconds, and must not end before its row, which is exact
        times = {"iat": int(issued_at.timestamp()), "exp": math.ceil(expires_at.timestamp())}
        written = {name: value if isinstance(value, int) else str(value) for name, value in claims.items()}
        content = {"iss": ISSUER, "aud": self._purpose, **written, **times}
        return jwt.encode(content, key, algorithm=ALGORITHM, headers={"kid": kid, "typ": self._type})

    def verify(self, token: str, *, is_expired_allowed: bool = False) -> Claims:
        """What the token says, each claim in its type. Raises ``bad``; ``expired`` once it is known to be ours."""
        claims = self._signed(token)
        if claims["exp"] <= time.time() and not is_expired_allowed:
            raise self._expired
        return claims

    def _decode(self, token: str) -> Claims:
        try:
            header = jwt.get_unverified_header(token)
            key = self._keys.verifying(self._purpose, str(header.get("kid", "")))
            if header.get("typ") != self._type or key is None:
                raise self._bad
            # the expiry is looked at each time, here it only has to be there; when it was made is the database's clock,
            # which may be ahead of ours
            options: Any = {
                "require": ["exp", "iat", "iss", "aud", *self._claims],
                "verify_exp": False,
                "verify_iat": False,
            }
            said = jwt.decode(
                token, key, algorithms=[ALGORITHM], issuer=ISSUER, audience=self._purpose, options=options
            )
            found = {name: read(said[name]) for name, read in self._claims.items()}
            return found | {"iat": float(said["iat"]), "exp": float(said["exp"])}
        except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError) as error:
            raise self._bad from error
