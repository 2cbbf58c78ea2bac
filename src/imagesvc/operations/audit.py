"""Compare tables and bucket, in both directions, and read objects again to see whether they are what they were.

Place by place: the keys that begin alike, first listed in the bucket, then looked up in the tables. While the service
runs both change, so nothing is believed at first sight. It is sound because a key is named before its object comes to
be, an object is deleted only after its row let go of the key, and no key is ever used again:

- listed, then named by no row, then still there: nothing owns it. What was let go of rightly is not there any more.
- owned by a row, then not there, then still owned by that row: it is missing.
- an object that has another size or hash than its row says, and is still owned by it: it is corrupt.

With ``fix``, the last look is under the lock of the row and the change is in the same transaction.
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
SIDE_BY_SIDE = 8
OWN_FOLDERS = frozenset({"o/", "r/", "t/", "z/"})
ROWS_OF_A_PLACE = 10_000
HEX = "0123456789abcdef"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """``found``: an object nothing owns; a row whose object is not there; one whose object is not what was stored; one
    that was said to have lost its object, and has it."""

    found: Literal["unaccounted", "missing", "corrupt", "back"]
    key: str
    owned: OwnedKey | None
    is_fixed: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A place is done, the ``position``th of ``places``."""

    findings: list[Finding]
    position: int
    places: int
    counts: Counter[str]


class Auditor:
    """``sample_percent``: of how many objects the content is read, besides all sizes."""

    def __init__(self, database: Database, storage: Storage, *, fix: bool, sample_percent: float = 100.0) -> None:
        self._sessions = database.sessions
        self._storage = storage
        self._fix = fix
        self._sample = sample_percent / 100
        self._limit = asyncio.Semaphore(SIDE_BY_SIDE)

    async def begin(self) -> Audit:
        folders = await self._storage.folders()
        async with self._sessions.begin() as session:
            rows = await queries.rows_with_objects(session)
            audit = Audit(
                id=new_id(),
                wanted={"fix": self._fix, "sample_percent": self._sample * 100},
                places=_places(folders | OWN_FOLDERS, rows=rows),
                position=0,
                counts={},
            )
            session.add(audit)
        return audit

    async def last_unfinished(self) -> Audit | None:
        async with self._sessions() as session:
            return await queries.unfinished_audit(session)

    async def go_on(self, audit: Audit) -> AsyncIterator[Step]:
        """The places that are left. What is raised leaves the audit at the last place that was done."""
        counts = Counter(audit.counts)
        for position, place in enumerate(audit.places[audit.position :], start=audit.position + 1):
            findings = [finding async for finding in self._place(place, counts)]
            for finding in findings:
                counts[finding.found] += 1
                counts["fixed"] += finding.is_fixed
            async with self._sessions.begin() as session:
                row = await session.get_one(Audit, audit.id)
                row.position, row.counts = position, dict(counts)
                if position == len(audit.places):
                    row.ended_at = func.now()
            yield Step(findings=findings, position=position, places=len(audit.places), counts=counts)

    async def _place(self, prefix: str, counts: Counter[str]) -> AsyncIterator[Finding]:
        is_folder = "/" in prefix
        listed = {key: size async for key, size in self._storage.listing(prefix) if is_folder or key == prefix}
        async with self._sessions.begin() as session:
            owned, named = await queries.keys_under(session, prefix)
        counts["objects"] += len(listed)
        counts["owned"] += len(owned)
        for finding in await self._all(self._unnamed, [key for key in listed if key not in named]):
            yield finding

        async def look(row: OwnedKey) -> Finding | None:
            return await self._owned(row, listed.get(row.key), counts)

        for finding in await self._all(look, owned):
            yield finding

    async def _all(self, look: Callable[[T], Awaitable[Finding | None]], items: Iterable[T]) -> list[Finding]:
        async def one(item: T) -> Finding | None:
            async with self._limit:
                return await look(item)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(item)) for item in items]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [finding for task in tasks if (finding := task.result()) is not None]

    async def _unnamed(self, key: str) -> Finding | None:
        if await self._storage.size(key) is None:
            return None  # let go of and reaped since it was listed
        is_fixed = False
        if self._fix:
            async with self._sessions.begin() as session:
                if not await queries.let_go_unnamed(session, key):
                    return None
            is_fixed = True
        return Finding(found="unaccounted", key=key, owned=None, is_fixed=is_fixed)

    async def _owned(self, row: OwnedKey, listed_bytes: int | None, counts: Counter[str]) -> Finding | None:
        found: Literal["missing", "corrupt", "back"]
        # it may have come to be since the listing
        size = listed_bytes if listed_bytes is not None else await self._storage.size(row.key)
        if size is None:
            if row.object_lost:
                counts["known to be lost"] += 1
                return None
            found = "missing"
        elif size == row.size and not row.object_lost and random.random() >= self._sample:  # noqa: S311 - guards nothing
            return None
        else:
            is_right = size == row.size and await self._has_its_content(row)
            counts["read"] += 1
            if is_right != row.object_lost:
                return None  # as the row says
            found = "back" if is_right else "corrupt"
        async with self._sessions.begin() as session:
            if not await queries.lock_owner(session, row):
                return None  # let go of meanwhile
            if self._fix:
                if row.owner == "rendition":
                    await queries.remake_rendition(session, row)
                else:
                    await queries.mark_blob(session, row.blob_id, is_lost=found != "back")
        return Finding(found=found, key=row.key, owned=row, is_fixed=self._fix)

    async def _has_its_content(self, row: OwnedKey) -> bool:
        digest = sha256()
        try:
            async for chunk in self._storage.read(row.key):
                digest.update(chunk)
        except ObjectGone:
            return False
        return digest.digest() == row.sha256


def _places(folders: Iterable[str], *, rows: int) -> list[str]:
    """How keys begin, cut finer the more there are: what is in one place is held in memory. Ours are spread evenly."""
    digits = next(n for n in range(3) if n == 2 or rows <= ROWS_OF_A_PLACE * 16**n)
    ends = [""]
    for _ in range(digits):
        ends = [end + digit for end in ends for digit in HEX]
    return [f"{folder}{end}" for folder in sorted(folders) for end in (ends if folder in OWN_FOLDERS else [""])]
