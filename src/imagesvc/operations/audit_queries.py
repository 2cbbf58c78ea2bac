"""Statements of the audit: the keys that tables name, and the repairs (ORM, and SQL text in its sessions)."""

import dataclasses
from collections.abc import Sequence
from functools import cache
from typing import Literal
from uuid import UUID

from sqlalchemy import TextClause, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Text

from imagesvc.db import Base, new_id
from imagesvc.images import queries as images
from imagesvc.images.models import Rendition
from imagesvc.operations.models import Audit
from imagesvc.processing.contract import EAGER_RENDITIONS
from imagesvc.storage import loose_objects
from imagesvc.storage.models import LooseObject
from imagesvc.tasks.models import Task

Owner = Literal["original", "rendition"]

# for the current transaction only: a large table takes long, and no request waits for it
LONG_TIMEOUT = text("SET LOCAL statement_timeout = '15min'")
OWNED = """
    SELECT key, 'original' AS owner, id AS blob_id, NULL AS preset, NULL AS format, bytes AS size, sha256, object_lost
    FROM blobs WHERE {which}
    UNION ALL
    SELECT key, 'rendition', blob_id, preset, format, bytes, sha256, false FROM renditions WHERE {which}
"""
NOT_OBJECT_KEYS = frozenset({"dedupe_key"})


def key_columns() -> list[tuple[str, str]]:
    """Tables and columns that hold object keys: by convention every text column named ``key`` or ``…_key``."""
    return [
        (table.name, column.name)
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, Text) and column.name.endswith("key") and column.name not in NOT_OBJECT_KEYS
    ]


@cache
def _named(condition: str) -> TextClause:
    """All keys in any column of any table for which ``condition`` holds."""
    parts = (f"SELECT {column} FROM {table} WHERE {condition.format(column)}" for table, column in key_columns())  # noqa: S608
    return text(" UNION ALL ".join(parts))


OWNED_BELOW = text(OWNED.format(which="starts_with(key, :prefix)"))
COUNT_ROWS = text("SELECT (SELECT count(*) FROM blobs) + (SELECT count(*) FROM renditions)")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OwnedKey:
    """A key whose object must exist, unless its blob is marked as having lost it."""

    key: str
    owner: Owner
    blob_id: UUID
    preset: str | None
    format: str | None
    size: int
    sha256: bytes
    object_lost: bool


async def count_rows_with_objects(session: AsyncSession) -> int:
    await session.execute(LONG_TIMEOUT)
    return int((await session.execute(COUNT_ROWS)).scalar_one())


async def keys_below(session: AsyncSession, prefix: str) -> tuple[list[OwnedKey], set[str]]:
    """The owned keys and all named keys with this prefix, in one snapshot."""
    await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    await session.execute(LONG_TIMEOUT)
    owned = [OwnedKey(**row) for row in (await session.execute(OWNED_BELOW, {"prefix": prefix})).mappings()]
    named = await session.execute(_named("starts_with({}, :prefix)"), {"prefix": prefix})
    return owned, set(named.scalars())


async def named_among(session: AsyncSession, keys: Sequence[str]) -> set[str]:
    """The keys that any row names. One statement: a key that moves from table to table meanwhile is not overlooked."""
    statement = _named("{} = ANY(:keys)").bindparams(bindparam("keys", type_=ARRAY(Text)))
    return set((await session.execute(statement, {"keys": list(keys)})).scalars())


async def lock_owner(session: AsyncSession, owned: OwnedKey) -> bool:
    """Whether the row still owns the key. The row keeps it until the transaction ends."""
    blob = await images.lock_blob(session, owned.blob_id)
    if blob is None or owned.owner == "original":
        return blob is not None and blob.key == owned.key
    rendition = await session.get(Rendition, (owned.blob_id, owned.preset, owned.format))
    return rendition is not None and rendition.key == owned.key


async def mark_blob(session: AsyncSession, blob_id: UUID, *, is_lost: bool) -> None:
    """Mark a locked blob. The next upload of the same content gives its object to a blob that has lost its own."""
    blob = await images.lock_blob(session, blob_id)
    assert blob is not None  # noqa: S101 - the caller has locked it
    blob.object_lost = is_lost


async def replace_rendition(session: AsyncSession, owned: OwnedKey) -> None:
    """Delete a rendition; one that every image has is made again by a task, others when they are requested.

    Nothing can be made from a lost original. After an upload has restored it, requests make its renditions again.
    """
    blob = await images.lock_blob(session, owned.blob_id)
    assert blob is not None  # noqa: S101 - the caller has locked it
    wanted = (owned.preset, owned.format)
    rendition = await session.get(Rendition, (owned.blob_id, *wanted))
    await session.delete(rendition)
    await session.flush()
    if wanted in EAGER_RENDITIONS and not blob.object_lost:
        task = insert(Task).values(
            id=new_id(),
            kind="make_rendition",
            blob_id=owned.blob_id,
            payload={"preset": owned.preset, "format": owned.format},
            dedupe_key=f"rendition:{owned.blob_id}:{owned.preset}:{owned.format}",
        )
        await session.execute(task.on_conflict_do_nothing(index_elements=[Task.dedupe_key]))
    await loose_objects.disown(session, [owned.key])


async def reap_if_unnamed(session: AsyncSession, key: str) -> bool:
    """Have the object of an unnamed key reaped. Returns False when a row names the key."""
    if await named_among(session, [key]):
        return False
    await session.execute(insert(LooseObject).values(key=key, state="reaping", not_before=text("now()")))
    return True


async def last_unfinished_audit(session: AsyncSession) -> Audit | None:
    query = select(Audit).where(Audit.ended_at.is_(None)).order_by(Audit.id.desc()).limit(1)
    return (await session.execute(query)).scalar_one_or_none()
