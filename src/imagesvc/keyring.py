"""Derives one key per purpose from the configured secrets: a token for one purpose is not valid for another.

The derivation is HKDF-SHA256 (RFC 5869) with the purpose as ``info``. It needs neither a salt nor a slow hash, because
the settings require long secrets, which are random. The first configured secret signs and all of them verify, so that
a secret can be replaced without invalidating issued tokens.
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
    """The derived keys of one process, from ``Settings.signing_keys``. Its ``repr`` contains no key."""

    __slots__ = ("_derived", "_secrets", "_signing_kid")

    def __init__(self, signing_keys: Sequence[tuple[str, bytes]]) -> None:
        self._signing_kid = signing_keys[0][0]
        self._secrets = dict(signing_keys)
        self._derived: dict[tuple[Purpose, str], bytes] = {}

    def signing(self, purpose: Purpose) -> tuple[str, bytes]:
        """The key id to put into the signed data, and the key of 32 bytes."""
        return self._signing_kid, self._key(purpose, self._signing_kid)

    def verifying(self, purpose: Purpose, kid: str) -> bytes | None:
        """The key to verify data signed under ``kid``, None when no configured secret has this key id."""
        return self._key(purpose, kid) if kid in self._secrets else None

    def _key(self, purpose: Purpose, kid: str) -> bytes:
        key = self._derived.get((purpose, kid))
        if key is None:
            info = b"imagesvc/1/" + purpose.encode()
            key = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(self._secrets[kid])
            self._derived[purpose, kid] = key
        return key

    def seal(self, purpose: Purpose, text: bytes, *, bound_to: bytes) -> tuple[str, bytes]:
        """Encrypt by AES-256-GCM. Returns the key id to store beside the ciphertext, and the ciphertext.

        Decryption needs the same ``bound_to`` (the associated data).
        """
        kid, key = self.signing(purpose)
        nonce = os.urandom(NONCE_BYTES)
        return kid, nonce + AESGCM(key).encrypt(nonce, text, bound_to)

    def unseal(self, purpose: Purpose, kid: str, sealed: bytes, *, bound_to: bytes) -> bytes | None:
        """Decrypt. Returns None when the secret is no longer configured, or ``bound_to`` is another one."""
        key = self.verifying(purpose, kid)
        if key is None:
            return None
        try:
            return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)
        except InvalidTag:
            return None

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._secrets)})"
