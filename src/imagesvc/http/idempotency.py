"""``Idempotency-Key``: a repeated request is not executed again, but gets the answer of the first one.

The first request with a key claims a row under a lease. Its answer is stored with a fingerprint of the operation and
the body. For a day, the same request gets the same answer, a different request with the key is refused (422), and a
request that arrives while the first one runs is refused too (409). Only success is stored, because a failed request
has no effect and may be repeated. The lease of a process that dies expires, and the next request with the key executes
the operation.

Keys are stored as hashes and answers encrypted (AES-256-GCM, with a key derived from the configured secrets).
All statements use asyncpg, because each is one step of a request.
"""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Mapping
from hashlib import sha256
from uuid import UUID

from imagesvc.db import Database, new_id
from imagesvc.errors import Conflict, ImagesvcError, Invalid
from imagesvc.keyring import KeyRing
from imagesvc.settings import Settings

KEPT_HOURS = 24
EXPIRY_BATCH = 1000
MAX_ATTEMPTS = 3

CLAIM = """
    -- $1 caller, $2 key, $3 lease, $4 seconds, $5 resource, $6 fingerprint, null if not known yet
    INSERT INTO idempotency_keys AS k (caller_id, key_sha256, lease_token, lease_until, resource_id, fingerprint)
    VALUES ($1, $2, $3, now() + make_interval(secs => $4), $5, $6)
    ON CONFLICT (caller_id, key_sha256) DO UPDATE SET lease_token = $3, lease_until = excluded.lease_until
    WHERE k.answer IS NULL AND k.lease_until < now() AND (k.fingerprint = $6) IS NOT FALSE
    RETURNING resource_id
"""
KEY = """
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
EXPIRE = """
    WITH old AS (SELECT caller_id, key_sha256 FROM idempotency_keys
                 WHERE created_at < now() - make_interval(hours => $1) ORDER BY created_at LIMIT $2),
         deleted AS (DELETE FROM idempotency_keys k USING old
                  WHERE k.caller_id = old.caller_id AND k.key_sha256 = old.key_sha256 RETURNING 1)
    SELECT count(*) AS count FROM deleted
"""


class KeyInUse(Conflict):
    """The first request with this `Idempotency-Key` is still running. Send the request again in a moment."""

    slug, title = "idempotency-key-in-use", "The first request with this key is still running"
    retry_after_seconds = 1


class KeyReused(Invalid):
    """Another request was sent with this `Idempotency-Key`. Use a new key for each request; only repeat a request with
    the same key.
    """

    slug, title = "idempotency-key-reused", "This key belongs to another request"

    def __init__(self) -> None:
        text = "Another request was sent with this key."
        super().__init__(text, errors=[{"pointer": "/header/idempotency-key", "detail": text}])


class AnswerUnreadable(Conflict):
    """The request was executed, but its stored answer is encrypted with a secret that was removed from the settings."""

    slug, title = "idempotent-answer-lost", "The request was executed, but its answer is lost"


class Fingerprint:
    """SHA-256 of an operation and of its body, which is added chunk by chunk."""

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
    """The stored answer of the request with this key."""

    fingerprint: bytes
    body_bytes: int
    answer: Answer


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to execute the request.

    ``resource_id`` stays the same if the request is executed again after a crash. An operation that uses it as the
    id of what it creates therefore creates it only once.
    """

    caller_id: UUID
    key_sha256: bytes
    token: UUID
    resource_id: UUID


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedRow:
    resource_id: UUID


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """One key. The first four columns are null until an answer is stored."""

    fingerprint: bytes | None
    body_bytes: int | None
    sealed_with: str | None
    answer: bytes | None
    is_abandoned: bool | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CountRow:
    count: int


class IdempotencyKeys:
    def __init__(self, settings: Settings, database: Database, keys: KeyRing) -> None:
        self._lease_seconds = settings.idempotency_lease_seconds
        self._database = database
        self._keys = keys

    async def begin(self, caller_id: UUID, key: str, *, fingerprint: bytes | None) -> Claim | Done:
        """Claim the key, or return the stored answer. Raises KeyInUse and KeyReused."""
        key_sha256, token = sha256(key.encode()).digest(), new_id()
        for _ in range(MAX_ATTEMPTS):
            arguments = (caller_id, key_sha256, token, self._lease_seconds, new_id(), fingerprint)
            if (claimed := await self._database.fetch_one_or_none(CLAIM, ClaimedRow, *arguments)) is not None:
                return Claim(caller_id=caller_id, key_sha256=key_sha256, token=token, resource_id=claimed.resource_id)
            row = await self._database.fetch_one_or_none(KEY, KeyRow, caller_id, key_sha256)
            if row is None or (row.answer is None and row.is_abandoned and row.fingerprint == fingerprint):
                continue  # released or abandoned after the first statement
            if (done := self._done(row, caller_id.bytes + key_sha256)) is not None:
                return done
            raise KeyReused if row.is_abandoned else KeyInUse
        raise KeyInUse

    @contextlib.asynccontextmanager
    async def renewed(self, claim: Claim) -> AsyncIterator[None]:
        """Renew the lease while the block runs.

        A refusal releases the key. After any other failure only the same request may claim it, because the work may
        have been done in part.
        """
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
                await self._database.fetch_row(
                    RENEW, claim.caller_id, claim.key_sha256, claim.token, self._lease_seconds
                )

    async def store(self, claim: Claim, fingerprint: Fingerprint, answer: Answer) -> None:
        """Store the answer. Does nothing if the lease was lost, because another request then executes the operation."""
        kid, sealed = self._sealed(answer, claim.caller_id.bytes + claim.key_sha256)
        arguments = (fingerprint.digest(), fingerprint.body_bytes, kid, sealed)
        await self._database.fetch_row(STORE, claim.caller_id, claim.key_sha256, claim.token, *arguments)

    async def release(self, claim: Claim) -> None:
        """Free the key of a request without effect. If the database is unavailable, the lease expires instead."""
        with contextlib.suppress(ImagesvcError):
            await self._database.fetch_row(RELEASE, claim.caller_id, claim.key_sha256, claim.token)

    async def _abandon(self, claim: Claim) -> None:
        with contextlib.suppress(ImagesvcError):
            await self._database.fetch_row(ABANDON, claim.caller_id, claim.key_sha256, claim.token)

    async def expire(self) -> int:
        """Delete one batch of keys older than a day. Returns the number of deleted keys."""
        row = await self._database.fetch_one(EXPIRE, CountRow, KEPT_HOURS, EXPIRY_BATCH)
        return row.count

    def _done(self, row: KeyRow, bound_to: bytes) -> Done | None:
        if row.answer is None or row.sealed_with is None or row.fingerprint is None or row.body_bytes is None:
            return None
        answer = self._unsealed(row.sealed_with, row.answer, bound_to)
        return Done(fingerprint=row.fingerprint, body_bytes=row.body_bytes, answer=answer)

    def _sealed(self, answer: Answer, bound_to: bytes) -> tuple[str, bytes]:
        head = json.dumps([answer.status, dict(answer.headers)]).encode()
        return self._keys.seal("answer", head + b"\n" + answer.body, bound_to=bound_to)

    def _unsealed(self, kid: str, sealed: bytes, bound_to: bytes) -> Answer:
        text = self._keys.unseal("answer", kid, sealed, bound_to=bound_to)
        if text is None:
            raise AnswerUnreadable
        head, _, body = text.partition(b"\n")
        status, headers = json.loads(head)
        return Answer(status=status, headers=headers, body=body)
