"""Signed tokens: JSON Web Tokens (RFC 7519) for access tokens, links and shares.

Each kind of token has a key, an audience and a type of its own. Algorithm, issuer, audience and type are fixed
(RFC 8725), so that a token of one kind is never accepted as another. A token only identifies a row. The caller of
``verify`` reads the row at each request and decides what it permits.
"""

import datetime as dt
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

import jwt
from jwt.types import Options

from imagesvc.errors import ImagesvcError
from imagesvc.keyring import KeyRing, Purpose

ISSUER, ALGORITHM = "imagesvc", "HS256"
CACHE_SIZE = 1024

ClaimType = type[UUID] | type[int] | type[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedToken:
    """A token with a valid signature. ``token["name"]`` is a claim in its type. Times are in Unix seconds."""

    claims: Mapping[str, object]
    issued_at: float
    expires_at: float

    def __getitem__(self, name: str) -> object:
        return self.claims[name]

    def uuid(self, name: str) -> UUID:
        """The claim ``name``, whose type is UUID."""
        value = self.claims[name]
        if not isinstance(value, UUID):
            raise TypeError(f"the claim {name} is not a UUID")
        return value


class Tokens:
    """Issues and verifies one kind of token.

    ``claims`` are the claims besides the times, with their types. ``bad`` is raised for a token that is not valid,
    ``expired`` for a valid one that has expired.
    """

    def __init__(
        self,
        keys: KeyRing,
        purpose: Purpose,
        *,
        type: str,
        claims: Mapping[str, ClaimType],
        bad: type[ImagesvcError],
        expired: type[ImagesvcError],
    ) -> None:
        self._keys, self._purpose, self._type = keys, purpose, type
        self._claims, self._bad, self._expired = claims, bad, expired
        # only valid tokens are cached: clients send the same one with every request
        self._cached_decode = lru_cache(maxsize=CACHE_SIZE)(self._decode)

    def issue(self, claims: Mapping[str, object], *, issued_at: dt.datetime, expires_at: dt.datetime) -> str:
        """Sign a token. Its times are whole seconds, so ``expires_at`` is rounded up: the row's time is exact."""
        kid, key = self._keys.signing(self._purpose)
        times = {"iat": int(issued_at.timestamp()), "exp": math.ceil(expires_at.timestamp())}
        values = {name: value if isinstance(value, int) else str(value) for name, value in claims.items()}
        content = {"iss": ISSUER, "aud": self._purpose, **values, **times}
        return jwt.encode(content, key, algorithm=ALGORITHM, headers={"kid": kid, "typ": self._type})

    def verify(self, token: str, *, is_expired_allowed: bool = False) -> VerifiedToken:
        """Check signature, kind and expiry. Raises ``bad``, and ``expired`` only for a token with a valid signature."""
        verified = self._cached_decode(token)
        if verified.expires_at <= time.time() and not is_expired_allowed:
            raise self._expired
        return verified

    def _decode(self, token: str) -> VerifiedToken:
        try:
            header = jwt.get_unverified_header(token)
            key = self._keys.verifying(self._purpose, str(header.get("kid", "")))
            if header.get("typ") != self._type or key is None:
                raise self._bad
            # `verify` checks the expiry, because decoded tokens are cached. `iat` is not compared with the time: it
            # is from the clock of the database, which may be ahead of this machine's
            options: Options = {
                "require": ["exp", "iat", "iss", "aud", *self._claims],
                "verify_exp": False,
                "verify_iat": False,
            }
            content = jwt.decode(
                token, key, algorithms=[ALGORITHM], issuer=ISSUER, audience=self._purpose, options=options
            )
            return VerifiedToken(
                claims={name: convert(content[name]) for name, convert in self._claims.items()},
                issued_at=float(content["iat"]),
                expires_at=float(content["exp"]),
            )
        except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError) as error:
            raise self._bad from error
