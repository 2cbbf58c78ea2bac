"""Removes the data of a deleted account and finally its row: one task, in transactions of bounded size.

Each feature registers its tables (``accounts/account_data.py``). The objects of removed images become loose unless
another image has the same content. A request that was admitted before the account was deleted either finds no owner and
fails, or its rows are removed by a later attempt of this task. Each step can be repeated.
"""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

import imagesvc.accounts.account_data
import imagesvc.images.account_data
import imagesvc.jobs.account_data
import imagesvc.links.account_data
import imagesvc.resizes.account_data
import imagesvc.uploads.account_data
import imagesvc.webhooks.account_data
from imagesvc.accounts.account_data import AccountData
from imagesvc.db import Database
from imagesvc.settings import Settings
from imagesvc.storage import loose_objects
from imagesvc.tasks import leases
from imagesvc.tasks.leases import Lease
from imagesvc.tasks.runner import RetryTask

ACCOUNT_DATA: tuple[AccountData, ...] = (
    *imagesvc.jobs.account_data.END_DOWNLOADS,
    *imagesvc.images.account_data.ACCOUNT_DATA,
    *imagesvc.resizes.account_data.ACCOUNT_DATA,
    *imagesvc.jobs.account_data.ACCOUNT_DATA,
    *imagesvc.uploads.account_data.ACCOUNT_DATA,
    *imagesvc.webhooks.account_data.ACCOUNT_DATA,
    *imagesvc.accounts.account_data.ACCOUNT_DATA,
    *imagesvc.links.account_data.ACCOUNT_DATA,
)
"""In an order that foreign keys allow: rows that refer to a row are removed before it."""

# Not every foreign key to this row has an index, so the check may scan tables. No request waits for it.
LONG_TIMEOUT = text("SET LOCAL statement_timeout = '10min'")
DELETE_USER = text("DELETE FROM users WHERE id = :user AND deleted_at IS NOT NULL")


class AccountRemoval:
    """Handles the task ``remove_account``."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._lease_seconds = settings.task_lease_seconds
        self._sessions = database.sessions

    async def remove(self, lease: Lease) -> None:
        """Handle a task. Raises RetryTask while the account has running tasks or uploads, LeaseLost."""
        user_id = lease.payload_id("user_id")
        try:
            for data in ACCOUNT_DATA:
                while await self._remove_some(lease, user_id, data):
                    pass
            await self._remove_user(lease, user_id)
        except IntegrityError as error:
            raise RetryTask("account-in-use") from error

    async def _remove_some(self, lease: Lease, user_id: UUID, data: AccountData) -> bool:
        """One transaction. Returns whether there is more to remove."""
        async with self._sessions.begin() as session:
            removed = await data.remove(session, user_id)
            await leases.renew(session, lease, seconds=self._lease_seconds)
            await loose_objects.disown(session, removed.object_keys)
        return removed.has_more

    async def _remove_user(self, lease: Lease, user_id: UUID) -> None:
        async with self._sessions.begin() as session:
            await session.execute(LONG_TIMEOUT)
            await session.execute(DELETE_USER, {"user": user_id})
            await leases.finish(session, lease)
