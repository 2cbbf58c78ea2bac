"""The report, and the fold that keeps it cheap."""

from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import asyncpg

from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.errors import Invalid
from imagesvc.stats import queries

DAYS = 30
FOLD_AT_ONCE = 20_000


class Statistics:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def report(self, caller: Caller, *, zone: str = "UTC") -> dict[str, Any]:
        """All statistics; days are those of ``zone``, today last. Raises Forbidden, Invalid."""
        caller.require("stats")
        try:
            ZoneInfo(zone)
            row = await self._database.fetch_row(queries.REPORT, DAYS, zone)
        except (ZoneInfoNotFoundError, ValueError, OSError, asyncpg.InvalidParameterValueError) as error:
            # the machine and the database each have a list of their own
            wrong = {"pointer": "/query/tz", "detail": "An IANA time zone is needed, such as `Europe/Berlin`."}
            raise Invalid(errors=[wrong]) from error
        formats = row["formats"] or []
        received, stored = row["bytes_received"] or 0, row["bytes_stored"] or 0
        return {
            "formats": formats,
            "most_popular_format": formats[0]["media_type"] if formats else None,
            "cameras": row["cameras"] or [],
            "cameras_unknown": row["cameras_unknown"] or 0,
            "uploads_per_day": row["uploads_per_day"],
            "totals": {
                "images": row["images"] or 0,
                "blobs": row["blobs"] or 0,
                "uploads": row["uploads"] or 0,
                "bytes_received": received,
                "bytes_stored": stored,
                "bytes_saved": max(0, received - stored),
            },
        }

    async def fold(self) -> int:
        """Add appended changes to the counts; returns how many."""
        row = await self._database.fetch_row(queries.FOLD, FOLD_AT_ONCE)
        return int(row["folded"])
