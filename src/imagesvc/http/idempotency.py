"""``Idempotency-Key``: a request that is sent again, because its answer was lost, is not done again.

The first request with a key claims a row under a lease. What it answers is stored with a fingerprint of operation and
body; the same request is then told the same for a day, another one under that key is refused (422), and one that comes
while the first still runs has to wait (409). Only success is stored: what failed left nothing behind and may be tried
again. A process that dies loses its lease, and the next request with the key does the work.

Only hashes of keys are kept, and answers only sealed (AES-256-GCM under a key derived from the configured secrets).
"""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Mapping
from hashlib import sha256
from typing import Any
from uuid import UUID

from imagesvc.db import Database, new_id
from imagesvc.errors import Conflict, ImagesvcError, Invalid
from imagesvc.keyring import KeyRing
from imagesvc.settings import Settings

KEPT_HOURS = 24
AT_ONCE = 1000
ROUNDS = 3

CLAIM = """
    -- $1 caller, $2 key, $3 lease, $4 seconds, $5 resource, $6 fingerprint when it is known already
    INSERT INTO idempotency_keys AS k (caller_id, key_sha256, lease_token, lease_until, resource_id, fingerprint)
    VALUES ($1, $2, $3, now() + make_interval(secs => $4), $5, $6)
    ON CONFLICT (caller_id, key_sha256) DO UPDATE SET lease_token = $3, lease_until = excluded.lease_until
    WHERE k.answer IS NULL AND k.lease_until < now() AND (k.fingerprint = $6) IS NOT FALSE
    RETURNING resource_id
"""
FOUND = """
    SELECT fingerprint, body_bytes, sealed_with, answer, lease_until < now() AS is_abandoned
    FROM idempotency_keys WHERE caller_id = $1 AND key_sha256 = $2
"""
RENEW = """
    UPDATE idempotency_keys SET lease_until = now() + make_interval(secs => $4)
    WHERE caller_id = $1 AND key_sha256 = $2 AND lease_token = $3 RETURNING 1
"""
ABANDON = """
    UPDATE idempotency_keys SET lease_until = now()
    WHERE caller_id = $1 AND key_sha256 = $2 AND lease_token = $3 RETURNING 1
"""
STORE = """
    UPDATE idempotency_keys
    SET fingerprint = $4, body_bytes = $5, sealed_with = $6, answer = $7, lease_token = NULL, lease_until = NULL
    WHERE caller_id = $1 AND key_sha256 = $2 AND lease_token = $3 RETURNING 1
"""
RELEASE = "DELETE FROM idempotency_keys WHERE caller_id = $1 AND key_sha256 = $2 AND lease_token = $3 RETURNING 1"
FORGET = """
    WITH old AS (SELECT caller_id, key_sha256 FROM idempotency_keys
                 WHERE created_at < now() - make_interval(hours => $1) ORDER BY created_at LIMIT $2),
         gone AS (DELETE FROM idempotency_keys k USING old
                  WHERE k.caller_id = old.caller_id AND k.key_sha256 = old.key_sha256 RETURNING 1)
    SELECT count(*) AS count FROM gone
"""


class KeyInUse(Conflict):
    """The first request with this `Idempotency-Key` is not done yet: ask again in a moment."""

    slug, title = "idempotency-key-in-use", "The first request with this key still runs"
    retry_after_seconds = 1


class KeyReused(Invalid):
    """Each request has an `Idempotency-Key` of its own; only the very same request may be sent again with it."""

    slug, title = "idempotency-key-reused", "This key belongs to another request"

    def __init__(self, detail: str | None = None, **kwargs: Any) -> None:
        text = "Another request was sent with this key."
        super().__init__(detail or text, errors=[{"pointer": "/header/idempotency-key", "detail": text}], **kwargs)


class AnswerUnreadable(Conflict):
    """The request was done, but its answer was sealed with a secret that this service has no longer."""

    slug, title = "idempotent-answer-lost", "The request was done, its answer is lost"


class Fingerprint:
    """Of an operation and of a body that comes in chunks."""

    def __init__(self, operation: str) -> None:
        self._digest = sha256(operation.encode() + b"\0")
        self.body_bytes = 0

    def update(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self.body_bytes += len(chunk)

    def digest(self) -> bytes:
        return self._digest.digest()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What the request with this key was answered."""

    fingerprint: bytes
    body_bytes: int
    answer: Answer


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to do the request. ``resource_id`` stays the same when it is done anew after a crash: what the request
    makes may take it as its id, and so is made once."""

    caller_id: UUID
    key_sha256: bytes
    token: UUID
    resource_id: UUID


class IdempotencyKeys:
    def __init__(self, settings: Settings, database: Database, keys: KeyRing) -> None:
        self._lease_seconds = settings.idempotency_lease_seconds
        self._fetch_row = database.fetch_row
        self._keys = keys

    async def begin(self, caller_id: UUID, key: str, *, fingerprint: bytes | None) -> Claim | Done:
        """The claim of whoever comes first, or the answer that was given. Raises KeyInUse, KeyReused."""
        key_sha256, token = sha256(key.encode()).digest(), new_id()
        for _ in range(ROUNDS):
            arguments = (caller_id, key_sha256, token, self._lease_seconds, new_id(), fingerprint)
            if (row := await self._fetch_row(CLAIM, *arguments)) is not None:
                return Claim(caller_id=caller_id, key_sha256=key_sha256, token=token, resource_id=row["resource_id"])
            row = await self._fetch_row(FOUND, caller_id, key_sha256)
            if row is None or (row["answer"] is None and row["is_abandoned"] and row["fingerprint"] == fingerprint):
                continue  # released or abandoned in between
            if row["answer"] is not None:
                answer = self._opened(row["sealed_with"], row["answer"], caller_id.bytes + key_sha256)
                return Done(fingerprint=row["fingerprint"], body_bytes=row["body_bytes"], answer=answer)
            raise KeyReused if row["is_abandoned"] else KeyInUse
        raise KeyInUse

    @contextlib.asynccontextmanager
    async def renewed(self, claim: Claim) -> AsyncIterator[None]:
        """Keeps the lease for as long as the block runs. A refusal frees the key; any other failure lets the same
        request, and only that, do the work anew: it may have been done in part."""
        renewing = asyncio.create_task(self._renew(claim))
        try:
            yield
        except BaseException as error:
            is_refusal = isinstance(error, ImagesvcError) and error.status < 500
            await asyncio.shield(self.release(claim) if is_refusal else self._abandon(claim))
            raise
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    async def _renew(self, claim: Claim) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            with contextlib.suppress(ImagesvcError):
                await self._fetch_row(RENEW, claim.caller_id, claim.key_sha256, claim.token, self._lease_seconds)

    async def store(self, claim: Claim, fingerprint: Fingerprint, answer: Answer) -> None:
        """Give this answer from now on. When the lease was lost, another request has taken over, and stores its own."""
        kid, sealed = self._sealed(answer, claim.caller_id.bytes + claim.key_sha256)
        arguments = (fingerprint.digest(), fingerprint.body_bytes, kid, sealed)
        await self._fetch_row(STORE, claim.caller_id, claim.key_sha256, claim.token, *arguments)

    async def release(self, claim: Claim) -> None:
        """The request came to nothing: its key is free. When that cannot be written, the lease ends by itself."""
        with contextlib.suppress(ImagesvcError):
            await self._fetch_row(RELEASE, claim.caller_id, claim.key_sha256, claim.token)

    async def _abandon(self, claim: Claim) -> None:
        with contextlib.suppress(ImagesvcError):
            await self._fetch_row(ABANDON, claim.caller_id, claim.key_sha256, claim.token)

    async def forget(self) -> int:
        """One round of removing what is older than a day. Returns how many went."""
        row = await self._fetch_row(FORGET, KEPT_HOURS, AT_ONCE)
        return int(row["count"])

    def _sealed(self, answer: Answer, bound_to: bytes) -> tuple[str, bytes]:
        head = json.dumps([answer.status, dict(answer.headers)]).encode()
        return self._keys.seal("answer", head + b"\n" + answer.body, bound_to=bound_to)

    def _opened(self, kid: str, sealed: bytes, bound_to: bytes) -> Answer:
        text = self._keys.unseal("answer", kid, sealed, bound_to=bound_to)
        if text is None:
            raise AnswerUnreadable
        head, _, body = text.partition(b"\n")
        status, headers = json.loads(head)
        return Answer(status=status, headers=headers, body=body)
