"""Compares tables and bucket in both directions, and reads objects to compare their content with the recorded hash.

The audit handles one key prefix at a time: it lists the prefix in the bucket and then looks the keys up in the tables.
The service keeps running, so both change during the audit and every difference is checked again. The result is correct
because a row names a key before its object exists, an object is deleted only after its row has given up the key, and no
key is ever reused:

- An object that is listed, named by no row afterwards, and exists after that is owned by nothing (`unaccounted`). The
  object of a key that was given up in the meantime no longer exists at the last check.
- An object whose row exists before and after the object was not found is `missing`.
- An object whose size or hash differs from that in its row, which still owns it afterwards, is `corrupt`.

With ``fix``, the last check and the repair are in one transaction, under the lock of the row.
"""

import asyncio
import dataclasses
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from hashlib import sha256
from typing import Literal, TypeVar

from sqlalchemy import func

from imagesvc.db import Database, new_id
from imagesvc.operations import audit_queries as queries
from imagesvc.operations.audit_queries import OwnedKey
from imagesvc.operations.models import Audit
from imagesvc.storage.bucket import ObjectGone, Storage

T = TypeVar("T")
MAX_CONCURRENT_CHECKS = 8
KEY_FOLDERS = frozenset({"o/", "r/", "t/", "z/"})
ROWS_PER_PREFIX = 10_000
HEX = "0123456789abcdef"
FindingKind = Literal["unaccounted", "missing", "corrupt", "back"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A difference between tables and bucket. ``owned`` is None for an `unaccounted` object.

    `unaccounted`: nothing owns the object. `missing`: the object of a row does not exist. `corrupt`: its content is not
    what was stored. `back`: a blob is marked as having lost its object, but the object is intact.
    """

    kind: FindingKind
    key: str
    owned: OwnedKey | None
    is_fixed: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AuditStep:
    """The findings of one key prefix, the ``position``-th of ``places``. ``counts`` are the totals of the audit."""

    findings: list[Finding]
    position: int
    places: int
    counts: Counter[str]


class Auditor:
    """Runs audits. Every size is checked; ``sample_percent`` of the objects are read in full."""

    def __init__(self, database: Database, storage: Storage, *, fix: bool, sample_percent: float = 100.0) -> None:
        self._sessions = database.sessions
        self._storage = storage
        self._fix = fix
        self._sample = sample_percent / 100
        self._limit = asyncio.Semaphore(MAX_CONCURRENT_CHECKS)

    async def start(self) -> Audit:
        """Insert the row of a new audit, which ``run`` then performs."""
        folders = await self._storage.folders()
        async with self._sessions.begin() as session:
            rows = await queries.count_rows_with_objects(session)
            audit = Audit(
                id=new_id(),
                wanted={"fix": self._fix, "sample_percent": self._sample * 100},
                places=_prefixes(folders | KEY_FOLDERS, rows=rows),
                position=0,
                counts={},
            )
            session.add(audit)
        return audit

    async def last_unfinished(self) -> Audit | None:
        async with self._sessions() as session:
            return await queries.last_unfinished_audit(session)

    async def run(self, audit: Audit) -> AsyncIterator[AuditStep]:
        """Check the remaining prefixes. After an error, the audit can continue at the prefix that raised it."""
        counts = Counter(audit.counts)
        for position, prefix in enumerate(audit.places[audit.position :], start=audit.position + 1):
            findings = [finding async for finding in self._check_prefix(prefix, counts)]
            for finding in findings:
                counts[finding.kind] += 1
                counts["fixed"] += finding.is_fixed
            async with self._sessions.begin() as session:
                row = await session.get_one(Audit, audit.id)
                row.position, row.counts = position, dict(counts)
                if position == len(audit.places):
                    row.ended_at = func.now()
            yield AuditStep(findings=findings, position=position, places=len(audit.places), counts=counts)

    async def _check_prefix(self, prefix: str, counts: Counter[str]) -> AsyncIterator[Finding]:
        is_folder = "/" in prefix
        listed = {key: size async for key, size in self._storage.listing(prefix) if is_folder or key == prefix}
        async with self._sessions.begin() as session:
            owned, named = await queries.keys_below(session, prefix)
        counts["objects"] += len(listed)
        counts["owned"] += len(owned)
        for finding in await self._check_all(self._check_unnamed, [key for key in listed if key not in named]):
            yield finding

        async def check(row: OwnedKey) -> Finding | None:
            return await self._check_owned(row, listed.get(row.key), counts)

        for finding in await self._check_all(check, owned):
            yield finding

    async def _check_all(self, check: Callable[[T], Awaitable[Finding | None]], items: Iterable[T]) -> list[Finding]:
        async def check_one(item: T) -> Finding | None:
            async with self._limit:
                return await check(item)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(check_one(item)) for item in items]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [finding for task in tasks if (finding := task.result()) is not None]

    async def _check_unnamed(self, key: str) -> Finding | None:
        if await self._storage.size(key) is None:
            return None  # given up and reaped since it was listed
        is_fixed = False
        if self._fix:
            async with self._sessions.begin() as session:
                if not await queries.reap_if_unnamed(session, key):
                    return None
            is_fixed = True
        return Finding(kind="unaccounted", key=key, owned=None, is_fixed=is_fixed)

    async def _check_owned(self, row: OwnedKey, listed_bytes: int | None, counts: Counter[str]) -> Finding | None:
        kind = await self._difference(row, listed_bytes, counts)
        if kind is None:
            return None
        async with self._sessions.begin() as session:
            if not await queries.lock_owner(session, row):
                return None  # given up in the meantime
            if self._fix:
                if row.owner == "rendition":
                    await queries.replace_rendition(session, row)
                else:
                    await queries.mark_blob(session, row.blob_id, is_lost=kind != "back")
        return Finding(kind=kind, key=row.key, owned=row, is_fixed=self._fix)

    async def _difference(self, row: OwnedKey, listed_bytes: int | None, counts: Counter[str]) -> FindingKind | None:
        # an object that was not listed may have been written since
        size = listed_bytes if listed_bytes is not None else await self._storage.size(row.key)
        if size is None:
            if row.object_lost:
                counts["known to be lost"] += 1
                return None
            return "missing"
        if size == row.size and not row.object_lost and random.random() >= self._sample:  # noqa: S311 - no security
            return None
        is_intact = size == row.size and await self._has_recorded_content(row)
        counts["read"] += 1
        if is_intact != row.object_lost:
            return None  # the row says the same
        return "back" if is_intact else "corrupt"

    async def _has_recorded_content(self, row: OwnedKey) -> bool:
        digest = sha256()
        try:
            async for chunk in self._storage.read(row.key):
                digest.update(chunk)
        except ObjectGone:
            return False
        return digest.digest() == row.sha256


def _prefixes(folders: Iterable[str], *, rows: int) -> list[str]:
    """Key prefixes, longer ones for more rows: the keys of one prefix are held in memory.

    Random keys are spread evenly over the prefixes of a folder.
    """
    digits = next(n for n in range(3) if n == 2 or rows <= ROWS_PER_PREFIX * 16**n)
    suffixes = [""]
    for _ in range(digits):
        suffixes = [suffix + digit for suffix in suffixes for digit in HEX]
    return [
        f"{folder}{suffix}" for folder in sorted(folders) for suffix in (suffixes if folder in KEY_FOLDERS else [""])
    ]
