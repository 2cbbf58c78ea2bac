"""Statements about resizes. On behalf of a caller they match the caller's own; nobody else has any business there."""

import datetime as dt
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.accounts.models import User
from imagesvc.images.queries import delete_blobs_nobody_needs
from imagesvc.resizes.models import Resize
from imagesvc.tasks.models import Task

UNFINISHED = ("pending", "started")

RESIZE_OF = """
    -- $1 caller, $2 token
    SELECT token, state, key, format, width, height, sha256, bytes, problem, created_at, expires_at,
           state = 'expired' OR expires_at <= now() AS expired
    FROM resizes WHERE owner_id = $1 AND token = $2
"""

BLOB_OF_IMAGE = text("""
    SELECT b.id, b.sha256 FROM images i JOIN blobs b ON b.id = i.blob_id JOIN users o ON o.id = i.owner_id
    WHERE i.id = :image AND (:is_admin OR i.owner_id = :caller) AND o.deleted_at IS NULL
    FOR KEY SHARE OF b
""")


async def lock_account(session: AsyncSession, user_id: UUID) -> bool:
    """One request of an account at a time gets past here; False when the account is gone or disabled."""
    query = select(User.id).where(User.id == user_id, User.disabled_at.is_(None)).with_for_update(key_share=True)
    return (await session.execute(query)).one_or_none() is not None


async def lock_blob_of_image(
    session: AsyncSession, caller_id: UUID, image_id: UUID, *, is_admin: bool
) -> tuple[UUID, bytes] | None:
    """Id and hash of the blob, which stays until the end."""
    found = await session.execute(BLOB_OF_IMAGE, {"image": image_id, "caller": caller_id, "is_admin": is_admin})
    row = found.one_or_none()
    return None if row is None else (row.id, bytes(row.sha256))


async def lock_resize(session: AsyncSession, token: UUID) -> tuple[Resize, bool] | None:
    """The row, and whether its time is over."""
    is_over = func.coalesce(Resize.expires_at <= func.now(), False)
    found = await session.execute(select(Resize, is_over).where(Resize.token == token).with_for_update())
    row = found.one_or_none()
    return None if row is None else (row[0], row[1])


async def lock_resize_of_task(session: AsyncSession, token: UUID, task_id: UUID, *states: str) -> Resize | None:
    query = select(Resize).where(Resize.token == token, Resize.task_id == task_id, Resize.state.in_(states))
    return (await session.execute(query.with_for_update())).scalar_one_or_none()


async def count_unfinished(session: AsyncSession, owner_id: UUID) -> int:
    query = select(func.count()).where(Resize.owner_id == owner_id, Resize.state.in_(UNFINISHED))
    return int((await session.execute(query)).scalar_one())


async def drop_dead_letter(session: AsyncSession, task_id: UUID, *, blob_id: UUID | None) -> None:
    """Of a resize that starts anew. One that refers to another blob stays: whoever drops it sees to that blob."""
    its_blob = or_(Task.blob_id.is_(None), Task.blob_id == blob_id)
    await session.execute(delete(Task).where(Task.id == task_id, Task.state == "dead", its_blob))


async def expire_some(session: AsyncSession, *, most: int, remembered_seconds: float) -> tuple[int, list[str]]:
    """Those whose time is over: how many, and the keys that nothing owns any more."""
    over = (
        select(Resize)
        .where(Resize.expires_at <= func.now(), Resize.state != "expired")
        .order_by(Resize.expires_at)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    found = (await session.execute(over)).scalars().all()
    keys = [key for resize in found for key in (resize.key, resize.source_key) if key is not None]
    until = func.now() + dt.timedelta(seconds=remembered_seconds)
    values: dict[str, Any] = {"state": "expired", "key": None, "source_key": None, "expires_at": until}
    await session.execute(
        update(Resize).where(Resize.token.in_([resize.token for resize in found])).values(**values),
        execution_options={"synchronize_session": False},
    )
    return len(found), keys


FORGET = """
    WITH gone AS (DELETE FROM resizes WHERE token IN (
        SELECT token FROM resizes WHERE state = 'expired' AND expires_at <= now() LIMIT $1
        FOR UPDATE SKIP LOCKED) RETURNING 1)
    SELECT count(*) AS count FROM gone
"""


async def delete_some_of(session: AsyncSession, owner_id: UUID, *, most: int) -> tuple[int, list[str]]:
    """An owner's resizes, with their dead letters: how many, and the keys that nothing owns any more.

    Unfinished tasks end by themselves, and keep their blobs until then.
    """
    some = select(Resize.token, Task.blob_id).outerjoin(Task, Task.id == Resize.task_id)
    found = (await session.execute(some.where(Resize.owner_id == owner_id).limit(most))).all()
    blob_ids: Sequence[UUID] = sorted({row.blob_id for row in found if row.blob_id is not None})
    await session.execute(LOCK_BLOBS, {"blobs": list(blob_ids)})
    gone = delete(Resize).where(Resize.token.in_([row.token for row in found]))
    rows = (await session.execute(gone.returning(Resize.key, Resize.source_key, Resize.task_id))).all()
    await session.execute(delete(Task).where(Task.id.in_([row.task_id for row in rows]), Task.state == "dead"))
    keys = [key for row in rows for key in (row.key, row.source_key) if key is not None]
    return len(rows), keys + await delete_blobs_nobody_needs(session, blob_ids)


LOCK_BLOBS = text("SELECT id FROM blobs WHERE id = ANY(:blobs) ORDER BY id FOR UPDATE")
