"""Statements of the audit: which keys the tables name, and what is done about what does not fit."""

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

# for this transaction only: a place of a large table may take a while, and nobody waits for it
PATIENCE = text("SET LOCAL statement_timeout = '15min'")
OWNED = """
    SELECT key, 'original' AS owner, id AS blob_id, NULL AS preset, NULL AS format, bytes AS size, sha256, object_lost
    FROM blobs WHERE {which}
    UNION ALL
    SELECT key, 'rendition', blob_id, preset, format, bytes, sha256, false FROM renditions WHERE {which}
"""
NO_KEYS_OF_OBJECTS = frozenset({"dedupe_key"})


def key_columns() -> list[tuple[str, str]]:
    """Tables and columns that name objects: by rule every text that is called ``key`` or ``…_key``."""
    return [
        (table.name, column.name)
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, Text) and column.name.endswith("key") and column.name not in NO_KEYS_OF_OBJECTS
    ]


@cache
def _named(condition: str) -> TextClause:
    """All keys that any row names, where ``condition`` holds for the column."""
    parts = (f"SELECT {column} FROM {table} WHERE {condition.format(column)}" for table, column in key_columns())  # noqa: S608
    return text(" UNION ALL ".join(parts))


OWNED_UNDER = text(OWNED.format(which="starts_with(key, :prefix)"))
ROWS = text("SELECT (SELECT count(*) FROM blobs) + (SELECT count(*) FROM renditions)")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OwnedKey:
    """A key whose object has to be there, unless its blob is known to have lost it."""

    key: str
    owner: Owner
    blob_id: UUID
    preset: str | None
    format: str | None
    size: int
    sha256: bytes
    object_lost: bool


async def rows_with_objects(session: AsyncSession) -> int:
    await session.execute(PATIENCE)
    return int((await session.execute(ROWS)).scalar_one())


async def keys_under(session: AsyncSession, prefix: str) -> tuple[list[OwnedKey], set[str]]:
    """What is owned, and all that is named, of keys that begin so; all at one moment."""
    await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    await session.execute(PATIENCE)
    owned = [OwnedKey(**row) for row in (await session.execute(OWNED_UNDER, {"prefix": prefix})).mappings()]
    named = await session.execute(_named("starts_with({}, :prefix)"), {"prefix": prefix})
    return owned, set(named.scalars())


async def named_among(session: AsyncSession, keys: Sequence[str]) -> set[str]:
    """In one statement: a key that changes hands meanwhile is found at the one place or at the other."""
    statement = _named("{} = ANY(:keys)").bindparams(bindparam("keys", type_=ARRAY(Text)))
    return set((await session.execute(statement, {"keys": list(keys)})).scalars())


async def lock_owner(session: AsyncSession, owned: OwnedKey) -> bool:
    """Whether the row still has this key; it keeps it until the end of the transaction."""
    blob = await images.lock_blob(session, owned.blob_id)
    if blob is None or owned.owner == "original":
        return blob is not None and blob.key == owned.key
    rendition = await session.get(Rendition, (owned.blob_id, owned.preset, owned.format))
    return rendition is not None and rendition.key == owned.key


async def mark_blob(session: AsyncSession, blob_id: UUID, *, is_lost: bool) -> None:
    """A blob without its object takes the key of the next upload of its content. It is locked."""
    blob = await images.lock_blob(session, blob_id)
    assert blob is not None  # noqa: S101 - locked before
    blob.object_lost = is_lost


async def remake_rendition(session: AsyncSession, owned: OwnedKey) -> None:
    """The rendition goes, and is made anew: at once those that every image has, others when they are asked for.

    From an original that is lost nothing can be made; the upload that heals it is followed by requests for renditions.
    """
    blob = await images.lock_blob(session, owned.blob_id)
    assert blob is not None  # noqa: S101 - locked before
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


async def let_go_unnamed(session: AsyncSession, key: str) -> bool:
    """Give a key that nothing names to the reaper; False when something does after all."""
    if await named_among(session, [key]):
        return False
    await session.execute(insert(LooseObject).values(key=key, state="reaping", not_before=text("now()")))
    return True


async def unfinished_audit(session: AsyncSession) -> Audit | None:
    """The latest."""
    query = select(Audit).where(Audit.ended_at.is_(None)).order_by(Audit.id.desc()).limit(1)
    return (await session.execute(query)).scalar_one_or_none()
