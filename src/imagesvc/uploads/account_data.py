"""The unfinished uploads and the batches of an account. Finished uploads are removed with their images."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.accounts.account_data import AccountData, Removed, rows_of
from imagesvc.tasks.runner import RetryTask

# The expiry of resumable uploads then ends these like any other: it releases keys and returns reservations.
EXPIRE_RESUMABLE = text("""
    UPDATE resumable_uploads SET expires_at = now()
    WHERE owner_id = :user AND state = 'receiving' AND expires_at > now()
""")
COUNT_UNFINISHED = text(
    "SELECT count(*) FROM resumable_uploads WHERE owner_id = :user AND state IN ('receiving', 'finishing')"
)


async def _expire_resumable_uploads(session: AsyncSession, user_id: UUID) -> Removed:
    await session.execute(EXPIRE_RESUMABLE, {"user": user_id})
    return Removed(has_more=False)


async def _require_ended(session: AsyncSession, user_id: UUID) -> Removed:
    """A separate step: the expiry sees the rows only after the previous step has committed. Raises RetryTask."""
    if (await session.execute(COUNT_UNFINISHED, {"user": user_id})).scalar_one():
        raise RetryTask("uploads-under-way", counts=False)
    return Removed(has_more=False)


ACCOUNT_DATA = (
    AccountData(tables=(), remove=_expire_resumable_uploads),
    AccountData(tables=(), remove=_require_ended),
    rows_of(
        "resumable_uploads",
        "DELETE FROM resumable_uploads WHERE id IN (SELECT id FROM resumable_uploads"
        " WHERE owner_id = :user AND state IN ('done', 'refused') LIMIT :max)",
    ),
    rows_of("batches", "DELETE FROM batches WHERE id IN (SELECT id FROM batches WHERE owner_id = :user LIMIT :max)"),
)
