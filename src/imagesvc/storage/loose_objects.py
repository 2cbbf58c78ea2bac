"""Loose objects: every key that may exist in the bucket while nothing owns it has a row in this table.

A writer commits a `held` row before it sends the first byte. It may begin requests until ``not_before``. The
transaction that gives the key an owner deletes the row, and rolls back unless it deletes exactly one. A key that is
given up becomes `reaping`. The reaper deletes the object and keeps a tombstone (`gone`) longer than any request begun
before can last; then it deletes the object again, because such a request may have written it, and removes the row.

Uses the ORM and SQL text in sessions, because the functions are steps of their callers' transactions; asyncpg for the
hold of a worker, which is a transaction of its own.
"""

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import Iterator, Sequence
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy import bindparam, delete, func, insert, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.db import Database
from imagesvc.errors import Unavailable
from imagesvc.settings import Settings
from imagesvc.storage.bucket import MAX_REQUEST_SECONDS, Storage, StorageAway
from imagesvc.storage.models import LooseObject

log = structlog.get_logger(__name__)

CLAIM_SECONDS = 60
"""After this time another reaper may claim the same rows. Handling a row twice does no harm."""
BATCH_SIZE = 200
MAX_CONCURRENT_DELETES = 8
HOLD_MARGIN = 0.2
"""The fraction of a hold that writers leave unused, for clock drift and the commit of the row."""


class KeyReaped(Unavailable):
    """The hold on a key expired before the key had an owner."""

    slug, title = "upload-too-slow", "The upload took too long to be stored"


KEY_WAS_REAPED = "IM001"
"""SQLSTATE of a database function when the held row of its key is gone. All changes are undone."""


@contextlib.contextmanager
def raising_key_reaped() -> Iterator[None]:
    """Turn the error of a database function that takes a key into KeyReaped."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if error.sqlstate == KEY_WAS_REAPED:
            raise KeyReaped from error
        raise


def hold_until(settings: Settings, *, since: float) -> float:
    """The last time to begin a write, for a row that is committed after ``since``; both are ``time.monotonic()``."""
    return since + settings.hold_seconds * (1 - HOLD_MARGIN)


async def hold(session: AsyncSession, keys: Sequence[str], *, seconds: float) -> None:
    """Insert a `held` row per key: before the first write of its object, in a transaction of its own."""
    if keys:
        await session.execute(
            insert(LooseObject).values(state="held", not_before=func.now() + dt.timedelta(seconds=seconds)),
            [{"key": key} for key in keys],
        )


HOLD = """
    -- $1 keys, $2 seconds
    INSERT INTO loose_objects (key, state, not_before)
    SELECT key, 'held', now() + make_interval(secs => $2) FROM unnest($1::text[]) AS key
"""


async def hold_at_once(database: Database, keys: Sequence[str], *, seconds: float) -> None:
    """Like ``hold``, as one statement in a transaction of its own."""
    if keys:
        await database.fetch_row(HOLD, keys, seconds)


async def take(session: AsyncSession, keys: Sequence[str]) -> None:
    """Delete the rows of keys that get an owner in this transaction. Raises KeyReaped unless all are still held."""
    taken = await session.execute(
        delete(LooseObject)
        .where(LooseObject.key.in_(sorted(keys)), LooseObject.state == "held")
        .returning(LooseObject.key)
    )
    if len(taken.all()) != len(keys):
        raise KeyReaped


async def release(session: AsyncSession, keys: Sequence[str]) -> None:
    """Give up held keys. The caller begins no further requests for them."""
    await session.execute(
        update(LooseObject)
        .where(LooseObject.key.in_(keys), LooseObject.state == "held")
        .values(state="reaping", not_before=func.now())
    )


async def disown(session: AsyncSession, keys: Sequence[str]) -> None:
    """Have the objects of these keys reaped; this transaction deletes their owner."""
    if keys:
        await session.execute(
            insert(LooseObject).values(state="reaping", not_before=func.now()), [{"key": key} for key in keys]
        )


CLAIM = text("""
    UPDATE loose_objects SET state = 'reaping', not_before = now() + make_interval(secs => :claim_seconds)
    WHERE key IN (SELECT key FROM loose_objects WHERE state IN ('held', 'reaping') AND not_before <= now()
                  ORDER BY not_before LIMIT :max FOR UPDATE SKIP LOCKED)
    RETURNING key, s3_upload_id, link_id
""")
CLAIM_TOMBSTONES = text("""
    UPDATE loose_objects SET not_before = now() + make_interval(secs => :claim_seconds)
    WHERE key IN (SELECT key FROM loose_objects WHERE state = 'gone' AND not_before <= now()
                  ORDER BY not_before LIMIT :max FOR UPDATE SKIP LOCKED)
    RETURNING key, s3_upload_id
""")
LOCK_LINK = text("SELECT FROM links WHERE id = :link FOR NO KEY UPDATE")
REFUND_RESERVATION = text("""
    WITH reaped AS (SELECT key, reserved_files AS files, reserved_bytes AS bytes FROM loose_objects
                  WHERE key = :key AND state = 'reaping' FOR UPDATE)
    UPDATE links SET reserved_files = reserved_files - reaped.files, reserved_bytes = reserved_bytes - reaped.bytes
    FROM reaped WHERE id = :link
""")
MAKE_TOMBSTONES = text("""
    UPDATE loose_objects SET state = 'gone', not_before = now() + make_interval(secs => :tombstone),
        link_id = NULL, reserved_files = 0, reserved_bytes = 0
    WHERE key = ANY(:keys) AND state = 'reaping' AND (CAST(:link AS uuid) IS NULL) = (link_id IS NULL)
""").bindparams(bindparam("link"))
DELETE_TOMBSTONES = text("DELETE FROM loose_objects WHERE key = ANY(:keys) AND state = 'gone'")


class Reaper:
    """Deletes objects that nothing owns. It keeps no state: every step can be repeated, also by another reaper."""

    def __init__(self, settings: Settings, database: Database, storage: Storage) -> None:
        self._sessions = database.sessions
        self._storage = storage
        self._tombstone_seconds = settings.tombstone_seconds

    async def reap(self) -> int:
        """Handle up to two batches of keys. Returns how many keys there were."""
        return await self._reap_claimed() + await self._reap_tombstones()

    async def _reap_claimed(self) -> int:
        async with self._sessions.begin() as session:
            rows = (await session.execute(CLAIM, {"claim_seconds": CLAIM_SECONDS, "max": BATCH_SIZE})).all()
        deleted = await self._delete([(row.key, row.s3_upload_id) for row in rows])
        without_link = [row.key for row in rows if row.link_id is None and row.key in deleted]
        if without_link:
            async with self._sessions.begin() as session:
                await self._make_tombstones(session, without_link, link_id=None)
        for row in rows:
            if row.link_id is not None and row.key in deleted:
                # The link is locked first. Refund and tombstone are one transaction: a crash between two would
                # refund twice.
                async with self._sessions.begin() as session:
                    await session.execute(LOCK_LINK, {"link": row.link_id})
                    await session.execute(REFUND_RESERVATION, {"link": row.link_id, "key": row.key})
                    await self._make_tombstones(session, [row.key], link_id=row.link_id)
        return len(rows)

    async def _make_tombstones(self, session: AsyncSession, keys: list[str], *, link_id: UUID | None) -> None:
        await session.execute(MAKE_TOMBSTONES, {"keys": keys, "tombstone": self._tombstone_seconds, "link": link_id})

    async def _reap_tombstones(self) -> int:
        async with self._sessions.begin() as session:
            rows = (await session.execute(CLAIM_TOMBSTONES, {"claim_seconds": CLAIM_SECONDS, "max": BATCH_SIZE})).all()
        deleted = await self._delete([(row.key, row.s3_upload_id) for row in rows])
        if deleted:
            async with self._sessions.begin() as session:
                await session.execute(DELETE_TOMBSTONES, {"keys": sorted(deleted)})
        return len(rows)

    async def _delete(self, objects: list[tuple[str, str | None]]) -> set[str]:
        """Delete the objects and abort their multipart uploads. Returns the keys for which that succeeded."""
        began = time.monotonic()
        limit = asyncio.Semaphore(MAX_CONCURRENT_DELETES)

        async def delete_one(key: str, upload_id: str | None) -> str | None:
            async with limit:
                if time.monotonic() - began > CLAIM_SECONDS / 2:
                    return None
                try:
                    if upload_id is not None:
                        await self._storage.abort_multipart(key, upload_id)
                    await self._storage.delete(key)
                except StorageAway:
                    log.warning("loose object not deleted", key=key)
                    return None
                return key

        return {key for key in await asyncio.gather(*(delete_one(*item) for item in objects)) if key is not None}


def require_tombstones_to_outlast_requests(settings: Settings) -> None:
    """Raises ValueError when a request could still write an object after its tombstone was deleted."""
    if settings.tombstone_seconds < MAX_REQUEST_SECONDS:
        raise ValueError(f"IMAGESVC_TOMBSTONE_SECONDS must be at least {MAX_REQUEST_SECONDS}")
