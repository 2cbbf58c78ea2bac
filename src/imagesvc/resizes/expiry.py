"""Expires the results of resizes, and later deletes their rows. The worker calls it."""

from imagesvc.db import Database
from imagesvc.resizes import queries
from imagesvc.settings import Settings
from imagesvc.storage import loose_objects

MAX_AT_ONCE = 100


class ResizeExpiry:
    """Has no state: it skips rows that another worker has locked."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._remembered_seconds = settings.resize_remembered_seconds
        self._database = database

    async def expire(self) -> int:
        """Expire and delete at most MAX_AT_ONCE rows each. Returns the larger of the two counts."""
        async with self._database.sessions.begin() as session:
            expired, keys = await queries.expire_some(
                session, max_count=MAX_AT_ONCE, remembered_seconds=self._remembered_seconds
            )
            await loose_objects.disown(session, keys)
        forgotten = await self._database.fetch_one(queries.FORGET, queries.Forgotten, MAX_AT_ONCE)
        return max(expired, forgotten.count)
