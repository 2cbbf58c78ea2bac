"""Ends what nobody goes on with, and forgets results that were kept long enough. The worker calls it."""

from imagesvc.db import Database
from imagesvc.uploads.tus import queries
from imagesvc.uploads.tus.abort import AbortUpload

AT_ONCE = 100


class ResumableExpiry:
    """Without memory: each upload is ended by one statement, by whichever worker comes first."""

    def __init__(self, database: Database, ending: AbortUpload) -> None:
        self._database = database
        self._ending = ending

    async def expire(self) -> int:
        """One round. Returns how many were ended or forgotten."""
        row = await self._database.fetch_row(queries.EXPIRED, AT_ONCE)
        ended = [await self._ending.expire(upload_id) for upload_id in row["ids"] or ()]
        forgotten = await self._database.fetch_row(queries.FORGET, AT_ONCE)
        return sum(ended) + int(forgotten["count"])
