"""Removes the images of an account with their uploads and shares. Objects that nothing else needs become loose."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.accounts.account_data import AccountData, Removed
from imagesvc.images import queries

MAX_IMAGES = 50


async def _remove_images(session: AsyncSession, user_id: UUID) -> Removed:
    image_ids, blob_ids = await queries.lock_some_images_of(session, user_id, max_count=MAX_IMAGES)
    await queries.delete_images(session, image_ids)
    keys = await queries.delete_unreferenced_blobs(session, blob_ids)
    return Removed(has_more=bool(blob_ids), object_keys=keys)


ACCOUNT_DATA = (AccountData(tables=("images", "uploads", "shares", "fetched_urls"), remove=_remove_images),)
