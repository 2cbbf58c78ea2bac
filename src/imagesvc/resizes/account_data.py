"""Removes the resizes of an account with their results and dead letters."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.accounts.account_data import AccountData, Removed
from imagesvc.resizes import queries

MAX_RESIZES = 50


async def _remove_resizes(session: AsyncSession, user_id: UUID) -> Removed:
    count, keys = await queries.delete_some_of(session, user_id, max_count=MAX_RESIZES)
    return Removed(has_more=bool(count), object_keys=keys)


ACCOUNT_DATA = (AccountData(tables=("resizes",), remove=_remove_resizes),)
