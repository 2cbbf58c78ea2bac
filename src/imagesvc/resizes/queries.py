"""Statements about resizes. Those on behalf of a caller match the caller's own resizes, also for an admin.

asyncpg (SQL text, frozen row classes) for the status and the deletion of old rows; the ORM, and SQL text in its
sessions, for everything else.
"""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.accounts.models import User
from imagesvc.images.models import ProblemJson
from imagesvc.images.queries import delete_unreferenced_blobs
from imagesvc.resizes.models import Resize, State
from imagesvc.tasks.models import Task

UNFINISHED = ("pending", "started")

RESIZE_OF = """
    -- $1 caller, $2 token
    SELECT state, key, format, width, height, sha256, bytes, problem, created_at, expires_at,
           coalesce(state = 'expired' OR expires_at <= now(), false) AS expired
    FROM resizes WHERE owner_id = $1 AND token = $2
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ResizeRow:
    """A row of RESIZE_OF. ``key``, ``sha256``, ``bytes``, ``width`` and ``height`` are None without a result."""

    state: State
    key: str | None
    format: str
    width: int | None
    height: int | None
    sha256: bytes | None
    bytes: int | None
    problem: ProblemJson | None
    created_at: dt.datetime
    expires_at: dt.datetime | None
    expired: bool


LATEST_RESIZES = """
    -- $1 caller, $2 limit
    SELECT token, state, key, format, width, height, sha256, bytes, problem, created_at, expires_at, false AS expired
    FROM resizes WHERE owner_id = $1 AND state <> 'expired' AND (expires_at > now()) IS NOT FALSE
    ORDER BY created_at DESC LIMIT $2
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ListedResize(ResizeRow):
    """A row of LATEST_RESIZES."""

    token: UUID


FORGET = """
    -- $1 limit
    WITH gone AS (DELETE FROM resizes WHERE token IN (
        SELECT token FROM resizes WHERE state = 'expired' AND expires_at <= now() LIMIT $1
        FOR UPDATE SKIP LOCKED) RETURNING 1)
    SELECT count(*) AS count FROM gone
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """A row of FORGET: how many rows were deleted."""

    count: int


BLOB_OF_IMAGE = text("""
    SELECT b.id, b.sha256 FROM images i JOIN blobs b ON b.id = i.blob_id JOIN users o ON o.id = i.owner_id
    WHERE i.id = :image AND (:is_admin OR i.owner_id = :caller) AND o.deleted_at IS NULL
    FOR KEY SHARE OF b
""")
LOCK_BLOBS = text("SELECT id FROM blobs WHERE id = ANY(:blobs) ORDER BY id FOR UPDATE")


async def lock_account(session: AsyncSession, user_id: UUID) -> bool:
    """Make the requests of one account wait for each other. False when the account is deleted or disabled."""
    query = select(User.id).where(User.id == user_id, User.disabled_at.is_(None)).with_for_update(key_share=True)
    return (await session.execute(query)).one_or_none() is not None


async def lock_blob_of_image(
    session: AsyncSession, caller_id: UUID, image_id: UUID, *, is_admin: bool
) -> tuple[UUID, bytes] | None:
    """Return id and hash of the image's blob, which cannot be deleted until the transaction ends."""
    found = await session.execute(BLOB_OF_IMAGE, {"image": image_id, "caller": caller_id, "is_admin": is_admin})
    row = found.one_or_none()
    return None if row is None else (row.id, bytes(row.sha256))


async def lock_resize(session: AsyncSession, token: UUID) -> tuple[Resize, bool] | None:
    """Return the row, and whether ``expires_at`` has passed."""
    has_expired = func.coalesce(Resize.expires_at <= func.now(), False)
    found = await session.execute(select(Resize, has_expired).where(Resize.token == token).with_for_update())
    row = found.one_or_none()
    return None if row is None else (row[0], row[1])


async def lock_resize_of_task(session: AsyncSession, token: UUID, task_id: UUID, *states: str) -> Resize | None:
    query = select(Resize).where(Resize.token == token, Resize.task_id == task_id, Resize.state.in_(states))
    return (await session.execute(query.with_for_update())).scalar_one_or_none()


async def count_unfinished(session: AsyncSession, owner_id: UUID) -> int:
    query = select(func.count()).where(Resize.owner_id == owner_id, Resize.state.in_(UNFINISHED))
    return int((await session.execute(query)).scalar_one())


async def drop_dead_letter(session: AsyncSession, task_id: UUID, *, blob_id: UUID | None) -> None:
    """Delete the dead letter of a resize that starts again.

    A dead letter that refers to another blob stays: deleting it may also require deleting that blob, which is not
    locked here.
    """
    is_same_blob = or_(Task.blob_id.is_(None), Task.blob_id == blob_id)
    await session.execute(delete(Task).where(Task.id == task_id, Task.state == "dead", is_same_blob))


async def expire_some(session: AsyncSession, *, max_count: int, remembered_seconds: float) -> tuple[int, list[str]]:
    """Set rows whose ``expires_at`` has passed to `expired`. Returns their count and the keys that nothing owns now."""
    due = (
        select(Resize)
        .where(Resize.expires_at <= func.now(), Resize.state != "expired")
        .order_by(Resize.expires_at)
        .limit(max_count)
        .with_for_update(skip_locked=True)
    )
    found = (await session.execute(due)).scalars().all()
    keys = [key for resize in found for key in (resize.key, resize.source_key) if key is not None]
    expired = update(Resize).where(Resize.token.in_([resize.token for resize in found]))
    deleted_at = func.now() + dt.timedelta(seconds=remembered_seconds)
    await session.execute(
        expired.values(state="expired", key=None, source_key=None, expires_at=deleted_at),
        execution_options={"synchronize_session": False},
    )
    return len(found), keys


async def delete_some_of(session: AsyncSession, owner_id: UUID, *, max_count: int) -> tuple[int, list[str]]:
    """Delete an owner's resizes and their dead letters. Returns their count and the keys that nothing owns now.

    Unfinished tasks keep their blobs until they end.
    """
    some = select(Resize.token, Task.blob_id).outerjoin(Task, Task.id == Resize.task_id)
    found = (await session.execute(some.where(Resize.owner_id == owner_id).limit(max_count))).all()
    blob_ids: Sequence[UUID] = sorted({row.blob_id for row in found if row.blob_id is not None})
    await session.execute(LOCK_BLOBS, {"blobs": list(blob_ids)})
    deleted = delete(Resize).where(Resize.token.in_([row.token for row in found]))
    rows = (await session.execute(deleted.returning(Resize.key, Resize.source_key, Resize.task_id))).all()
    await session.execute(delete(Task).where(Task.id.in_([row.task_id for row in rows]), Task.state == "dead"))
    keys = [key for row in rows for key in (row.key, row.source_key) if key is not None]
    return len(rows), keys + await delete_unreferenced_blobs(session, blob_ids)
