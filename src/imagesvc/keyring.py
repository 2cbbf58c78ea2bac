"""One key per purpose, derived from the configured secrets: a token made for one purpose is worthless for another.

HKDF-SHA256 (RFC 5869) with the purpose as ``info``. The secrets are long and random by rule (settings), so no salt and
no slow hash is needed. The first configured secret signs; all of them verify, so that a secret can be changed without
invalidating what is already out there.
"""

import os
from collections.abc import Sequence
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Purpose = Literal["access", "link", "share", "cursor", "session", "answer", "login", "webhook"]

NONCE_BYTES = 12


class KeyRing:
    """The derived keys of one process; takes ``Settings.signing_keys``. Never prints a key."""

    __slots__ = ("_derived", "_secrets", "_signing_kid")

    def __init__(self, signing_keys: Sequence[tuple[str, bytes]]) -> None:
        self._signing_kid = signing_keys[0][0]
        self._secrets = dict(signing_keys)
        self._derived: dict[tuple[Purpose, str], bytes] = {}

    def signing(self, purpose: Purpose) -> tuple[str, bytes]:
        """The key id to name in what is signed, and the 32-byte key."""
        return self._signing_kid, self._key(purpose, self._signing_kid)

    def verifying(self, purpose: Purpose, kid: str) -> bytes | None:
        """The key that `kid` named when something was signed; None when no such secret is configured (any more)."""
        return self._key(purpose, kid) if kid in self._secrets else None

    def _key(self, purpose: Purpose, kid: str) -> bytes:
        key = self._derived.get((purpose, kid))
        if key is None:
            info = b"imagesvc/1/" + purpose.encode()
            key = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(self._secrets[kid])
            self._derived[purpose, kid] = key
        return key

    def seal(self, purpose: Purpose, text: bytes, *, bound_to: bytes) -> tuple[str, bytes]:
        """The key id to keep beside it, and the text under AES-256-GCM. It opens with the same ``bound_to`` only."""
        kid, key = self.signing(purpose)
        nonce = os.urandom(NONCE_BYTES)
        return kid, nonce + AESGCM(key).encrypt(nonce, text, bound_to)

    def unseal(self, purpose: Purpose, kid: str, sealed: bytes, *, bound_to: bytes) -> bytes | None:
        """None when its secret is not configured any more, or it was not sealed for this."""
        key = self.verifying(purpose, kid)
        if key is None:
            return None
        try:
            return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)
        except InvalidTag:
            return None

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._secrets)})"
