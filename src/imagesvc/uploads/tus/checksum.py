"""``Upload-Checksum``: what the bytes of one request must hash to before they count."""

import base64
import binascii
import hashlib
from hashlib import sha1, sha256
from typing import Any

from imagesvc.uploads.tus.errors import ChecksumMismatch, TusHeader

# sha1 is what the protocol asks every server for: it finds damage on the way, not forgery
ALGORITHMS: dict[str, Any] = {"sha1": sha1, "sha256": sha256}


class Checksum:
    """Takes the bytes as they arrive; ``verify`` at their end."""

    __slots__ = ("_digest", "_expected")

    def __init__(self, header: str) -> None:
        """Raises TusHeader (400) when the header cannot be read or names another algorithm."""
        name, _, encoded = header.strip().partition(" ")
        if name not in ALGORITHMS:
            raise TusHeader(f"Upload-Checksum: one of {', '.join(ALGORITHMS)} is needed.")
        try:
            expected = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            expected = b""
        digest: hashlib._Hash = ALGORITHMS[name](usedforsecurity=False)
        if len(expected) != digest.digest_size:
            raise TusHeader(f"Upload-Checksum: the base64 of {digest.digest_size} bytes is needed after {name}.")
        self._digest, self._expected = digest, expected

    def update(self, chunk: bytes) -> None:
        self._digest.update(chunk)

    def verify(self) -> None:
        """Raises ChecksumMismatch."""
        if self._digest.digest() != self._expected:
            raise ChecksumMismatch("Send these bytes again: none of them was kept.")
