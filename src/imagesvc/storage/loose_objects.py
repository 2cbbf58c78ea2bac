"""Loose objects: every key that may exist in the bucket while nothing owns it has a row here.

A writer commits a `held` row before its first byte and may begin requests until ``not_before``; whoever then owns the
key deletes the row in the same transaction, exactly one row or nothing. What is given up turns `reaping`. The reaper
deletes the object, leaves a tombstone that outlasts any request begun before, deletes once more and forgets the key.
"""

import asyncio
import datetime as dt
import time
from collections.abc import Sequence
from uuid import UUID

import structlog
from sqlalchemy import bindparam, delete, func, insert, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.db import Database
from imagesvc.errors import Unavailable
from imagesvc.settings import Settings
from imagesvc.storage.bucket import MAX_REQUEST_SECONDS, Storage, StorageAway
from imagesvc.storage.models import LooseObject

log = structlog.get_logger(__name__)

TAKEN_FOR_SECONDS = 60
"""How long one reaper's round may take before another takes its rows up; doing them twice does no harm."""
AT_ONCE = 200
SIDE_BY_SIDE = 8
MARGIN = 0.2
"""The part of a hold that is not used: for the clock's drift and for the row's own commit."""


class KeyReaped(Unavailable):
    slug, title = "upload-too-slow", "The upload took too long to be stored"


def hold_until(settings: Settings, *, since: float) -> float:
    """The ``time.monotonic()`` moment until which writes may begin under a row committed after ``since``."""
    return since + settings.hold_seconds * (1 - MARGIN)


async def hold(session: AsyncSession, keys: Sequence[str], *, seconds: float) -> None:
    if keys:
        await session.execute(
            insert(LooseObject).values(state="held", not_before=func.now() + dt.timedelta(seconds=seconds)),
            [{"key": key} for key in keys],
        )


async def take(session: AsyncSession, keys: Sequence[str]) -> None:
    """The keys have an owner now, in this transaction. Raises KeyReaped unless every one was still held."""
    taken = await session.execute(
        delete(LooseObject)
        .where(LooseObject.key.in_(sorted(keys)), LooseObject.state == "held")
        .returning(LooseObject.key)
    )
    if len(taken.all()) != len(keys):
        raise KeyReaped


async def release(session: AsyncSession, keys: Sequence[str]) -> None:
    """Keys that their writer gives up: no request for them will begin any more."""
    await session.execute(
        update(LooseObject)
        .where(LooseObject.key.in_(keys), LooseObject.state == "held")
        .values(state="reaping", not_before=func.now())
    )


async def disown(session: AsyncSession, keys: Sequence[str]) -> None:
    """Keys whose owner is deleted in this transaction."""
    if keys:
        await session.execute(
            insert(LooseObject).values(state="reaping", not_before=func.now()), [{"key": key} for key in keys]
        )


CLAIM = text("""
    UPDATE loose_objects SET state = 'reaping', not_before = now() + make_interval(secs => :taken)
    WHERE key IN (SELECT key FROM loose_objects WHERE state IN ('held', 'reaping') AND not_before <= now()
                  ORDER BY not_before LIMIT :most FOR UPDATE SKIP LOCKED)
    RETURNING key, s3_upload_id, link_id
""")
CLAIM_TOMBSTONES = text("""
    UPDATE loose_objects SET not_before = now() + make_interval(secs => :taken)
    WHERE key IN (SELECT key FROM loose_objects WHERE state = 'gone' AND not_before <= now()
                  ORDER BY not_before LIMIT :most FOR UPDATE SKIP LOCKED)
    RETURNING key, s3_upload_id
""")
LOCK_LINK = text("SELECT FROM links WHERE id = :link FOR NO KEY UPDATE")
GIVE_BACK = text("""
    WITH dead AS (SELECT key, reserved_files AS files, reserved_bytes AS bytes FROM loose_objects
                  WHERE key = :key AND state = 'reaping' FOR UPDATE)
    UPDATE links SET reserved_files = reserved_files - dead.files, reserved_bytes = reserved_bytes - dead.bytes
    FROM dead WHERE id = :link
""")
BURY = text("""
    UPDATE loose_objects SET state = 'gone', not_before = now() + make_interval(secs => :tombstone),
        link_id = NULL, reserved_files = 0, reserved_bytes = 0
    WHERE key = ANY(:keys) AND state = 'reaping' AND (CAST(:link AS uuid) IS NULL) = (link_id IS NULL)
""").bindparams(bindparam("link"))
FORGET = text("DELETE FROM loose_objects WHERE key = ANY(:keys) AND state = 'gone'")


class Reaper:
    """Deletes what nothing owns. Without memory: every step can be repeated, by another reaper too."""

    def __init__(self, settings: Settings, database: Database, storage: Storage) -> None:
        self._sessions = database.sessions
        self._storage = storage
        self._tombstone_seconds = settings.tombstone_seconds

    async def reap(self) -> int:
        """One round. Returns how many keys were looked at."""
        return await self._reap_claimed() + await self._forget_tombstones()

    async def _reap_claimed(self) -> int:
        async with self._sessions.begin() as session:
            rows = (await session.execute(CLAIM, {"taken": TAKEN_FOR_SECONDS, "most": AT_ONCE})).all()
        dead = await self._delete([(row.key, row.s3_upload_id) for row in rows])
        plain = [row.key for row in rows if row.link_id is None and row.key in dead]
        if plain:
            async with self._sessions.begin() as session:
                await self._bury(session, plain, link_id=None)
        for row in rows:
            if row.link_id is not None and row.key in dead:
                # the link's lock first; refund and tombstone in one transaction, or a crash between would refund twice
                async with self._sessions.begin() as session:
                    await session.execute(LOCK_LINK, {"link": row.link_id})
                    await session.execute(GIVE_BACK, {"link": row.link_id, "key": row.key})
                    await self._bury(session, [row.key], link_id=row.link_id)
        return len(rows)

    async def _bury(self, session: AsyncSession, keys: list[str], *, link_id: UUID | None) -> None:
        await session.execute(BURY, {"keys": keys, "tombstone": self._tombstone_seconds, "link": link_id})

    async def _forget_tombstones(self) -> int:
        async with self._sessions.begin() as session:
            rows = (await session.execute(CLAIM_TOMBSTONES, {"taken": TAKEN_FOR_SECONDS, "most": AT_ONCE})).all()
        dead = await self._delete([(row.key, row.s3_upload_id) for row in rows])
        if dead:
            async with self._sessions.begin() as session:
                await session.execute(FORGET, {"keys": sorted(dead)})
        return len(rows)

    async def _delete(self, objects: list[tuple[str, str | None]]) -> set[str]:
        """Deletes the objects and aborts their multipart uploads; returns the keys for which that worked."""
        begun = time.monotonic()
        limit = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one(key: str, upload_id: str | None) -> str | None:
            async with limit:
                if time.monotonic() - begun > TAKEN_FOR_SECONDS / 2:
                    return None
                try:
                    if upload_id is not None:
                        await self._storage.abort_multipart(key, upload_id)
                    await self._storage.delete(key)
                except StorageAway:
                    log.warning("loose object not deleted", key=key)
                    return None
                return key

        return {key for key in await asyncio.gather(*(one(*item) for item in objects)) if key is not None}


def require_tombstones_to_outlast_requests(settings: Settings) -> None:
    """Raises ValueError when a request begun under a hold could land after its tombstone was forgotten."""
    if settings.tombstone_seconds < MAX_REQUEST_SECONDS:
        raise ValueError(f"IMAGESVC_TOMBSTONE_SECONDS must be at least {MAX_REQUEST_SECONDS}")
