"""A link's token: a JWT (RFC 7519) that carries nothing but the row's id and the times."""

import datetime as dt
from typing import Any
from uuid import UUID

import jwt

from imagesvc.links.errors import BadLinkToken, LinkExpired
from imagesvc.secrets import KeyRing

ISSUER, AUDIENCE, TYPE, ALGORITHM = "imagesvc", "link", "link+jwt", "HS256"
REQUIRED = ["exp", "iat", "iss", "aud", "jti"]


def issue(keys: KeyRing, link_id: UUID, *, created_at: dt.datetime, expires_at: dt.datetime) -> str:
    kid, key = keys.signing("link")
    claims = {"iss": ISSUER, "aud": AUDIENCE, "jti": str(link_id), "iat": created_at, "exp": expires_at}
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": kid, "typ": TYPE})


def verify(keys: KeyRing, token: str) -> UUID:
    """The id of the link's row. Raises BadLinkToken, or LinkExpired once the signature is known to be ours."""
    try:
        header = jwt.get_unverified_header(token)
        key = keys.verifying("link", str(header.get("kid", "")))
        if header.get("typ") != TYPE or key is None:
            raise BadLinkToken
        options: Any = {"require": REQUIRED}
        claims = jwt.decode(token, key, algorithms=[ALGORITHM], issuer=ISSUER, audience=AUDIENCE, options=options)
        return UUID(claims["jti"])
    except jwt.ExpiredSignatureError as error:
        raise LinkExpired from error
    except (jwt.InvalidTokenError, ValueError) as error:
        raise BadLinkToken from error
