"""Ends answers whose time is over, and forgets that they were there. The worker calls it."""

from imagesvc.db import Database
from imagesvc.resizes import queries
from imagesvc.settings import Settings
from imagesvc.storage import loose_objects

AT_ONCE = 100


class ResizeExpiry:
    """Without memory: rows that another worker has in hand are passed over."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._remembered_seconds = settings.resize_remembered_seconds
        self._database = database

    async def expire(self) -> int:
        """One round. Returns how much was done."""
        async with self._database.sessions.begin() as session:
            expired, keys = await queries.expire_some(
                session, most=AT_ONCE, remembered_seconds=self._remembered_seconds
            )
            await loose_objects.disown(session, keys)
        forgotten = await self._database.fetch_row(queries.FORGET, AT_ONCE)
        return max(expired, int(forgotten["count"]))
