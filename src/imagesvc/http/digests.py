"""``Repr-Digest`` (RFC 9530): writes and parses the SHA-256 of a whole file."""

import base64

import http_sf

from imagesvc.errors import Invalid

SHA256_BYTES = 32


def repr_digest(sha256: bytes) -> str:
    """The header value for this SHA-256."""
    return f"sha-256=:{base64.b64encode(sha256).decode()}:"


def parse_digest(header: str | None) -> bytes | None:
    """The SHA-256 in a ``Repr-Digest``; None if it has none. Other algorithms are ignored.

    Raises Invalid if the header is not a dictionary of structured fields, or its sha-256 does not have 32 bytes.
    """
    if header is None:
        return None
    try:
        fields = http_sf.parse(header.encode("latin-1", "replace"), tltype="dictionary")
    except http_sf.StructuredFieldError as error:
        raise _invalid() from error
    if not isinstance(fields, dict) or "sha-256" not in fields:
        return None
    member = fields["sha-256"]
    digest = member[0] if isinstance(member, tuple) else None
    if not isinstance(digest, bytes) or len(digest) != SHA256_BYTES:
        raise _invalid()
    return digest


def _invalid() -> Invalid:
    text = "The value must have the form sha-256=:<base64 of 32 bytes>:"
    return Invalid(f"Repr-Digest: {text}", errors=[{"pointer": "/header/repr-digest", "detail": text}])
