"""Expires abandoned uploads and deletes old results. The worker calls it periodically."""

from imagesvc.db import Database
from imagesvc.uploads.tus import queries
from imagesvc.uploads.tus.abort import AbortUpload
from imagesvc.uploads.tus.queries import CountRow, UploadIdRow

BATCH_SIZE = 100


class ResumableExpiry:
    """Has no state of its own. One statement ends each upload, so several workers can run it at the same time."""

    def __init__(self, database: Database, ending: AbortUpload) -> None:
        self._database = database
        self._abort = ending

    async def expire(self) -> int:
        """One round. Returns how many uploads were ended or deleted."""
        expired = await self._database.fetch_all(queries.EXPIRED, UploadIdRow, BATCH_SIZE)
        ended = [await self._abort.expire(row.id) for row in expired]
        deleted = await self._database.fetch_one(queries.DELETE_OLD_RESULTS, CountRow, BATCH_SIZE)
        return sum(ended) + deleted.count
