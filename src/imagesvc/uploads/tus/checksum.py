"""Upload-Checksum: the hash that the bytes of one request must have before they count."""

import base64
import binascii
import hashlib
from collections.abc import Callable
from hashlib import sha1, sha256

from imagesvc.uploads.tus.errors import ChecksumMismatch, TusHeader

# The protocol requires sha1 of every server. It detects transmission errors, not forgery.
ALGORITHMS: dict[str, "Callable[..., hashlib._Hash]"] = {"sha1": sha1, "sha256": sha256}


class Checksum:
    """Hashes the bytes as they arrive; call ``verify`` at their end."""

    __slots__ = ("_digest", "_expected")

    def __init__(self, header: str) -> None:
        """Raises TusHeader (400) when the header cannot be parsed or names an unknown algorithm."""
        name, _, encoded = header.strip().partition(" ")
        if name not in ALGORITHMS:
            raise TusHeader(f"Upload-Checksum requires one of {', '.join(ALGORITHMS)}.")
        try:
            expected = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            expected = b""
        digest = ALGORITHMS[name](usedforsecurity=False)
        if len(expected) != digest.digest_size:
            raise TusHeader(f"Upload-Checksum requires the base64 of {digest.digest_size} bytes after {name}.")
        self._digest, self._expected = digest, expected

    def update(self, chunk: bytes) -> None:
        self._digest.update(chunk)

    def verify(self) -> None:
        """Raises ChecksumMismatch."""
        if self._digest.digest() != self._expected:
            raise ChecksumMismatch("None of these bytes was stored. Send them again.")
