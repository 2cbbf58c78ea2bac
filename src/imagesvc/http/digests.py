"""``Repr-Digest`` (RFC 9530): the SHA-256 of a whole file, given and checked."""

import base64

import http_sf

from imagesvc.errors import Invalid

SHA256_BYTES = 32


def repr_digest(sha256: bytes) -> str:
    """The header value that names these bytes."""
    return f"sha-256=:{base64.b64encode(sha256).decode()}:"


def parse_digest(header: str | None) -> bytes | None:
    """The SHA-256 of a ``Repr-Digest``; None when there is none in it. Other algorithms are left alone.

    Raises Invalid when the header is no dictionary of structured fields, or its sha-256 is not 32 bytes.
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
    text = "Should be like sha-256=:<base64 of 32 bytes>:"
    return Invalid(f"Repr-Digest: {text}", errors=[{"pointer": "/header/repr-digest", "detail": text}])
