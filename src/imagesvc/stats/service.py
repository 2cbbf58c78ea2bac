"""Reads the statistics, and folds appended changes so that reading stays cheap."""

import datetime as dt
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import asyncpg

from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.errors import Invalid
from imagesvc.stats import queries
from imagesvc.stats.queries import FoldRow, ReportRow
from imagesvc.stats.schemas import CameraCount, DayCount, FormatCount, Report, ScoreCount, Totals

DAYS = 30
FOLD_BATCH_SIZE = 20_000


class Statistics:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def report(self, caller: Caller, *, time_zone: str = "UTC") -> Report:
        """All statistics. Days are those of ``time_zone``, an IANA name; today is the last one.

        Raises Forbidden without the scope `stats`, Invalid for an unknown time zone.
        """
        caller.require("stats")
        try:
            ZoneInfo(time_zone)
            row = await self._database.fetch_one(queries.REPORT, ReportRow, DAYS, time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError, asyncpg.InvalidParameterValueError) as error:
            # this process and PostgreSQL each have their own list of zones: the name has to be in both
            wrong = {"pointer": "/query/tz", "detail": "An IANA time zone is needed, such as `Europe/Berlin`."}
            raise Invalid(errors=[wrong]) from error
        return _report_of(row)

    async def fold(self) -> int:
        """Add appended changes to the counts. Returns how many changes were folded."""
        row = await self._database.fetch_one(queries.FOLD, FoldRow, FOLD_BATCH_SIZE)
        return row.folded


def _report_of(row: ReportRow) -> Report:
    formats = [FormatCount(**entry) for entry in row.formats or ()]
    received, stored = row.bytes_received or 0, row.bytes_stored or 0
    return Report(
        formats=formats,
        most_popular_format=formats[0].media_type if formats else None,
        cameras=[CameraCount(**entry) for entry in row.cameras or ()],
        cameras_unknown=row.cameras_unknown or 0,
        uploads_per_day=[
            DayCount(date=dt.date.fromisoformat(entry["date"]), count=entry["count"]) for entry in row.uploads_per_day
        ],
        scores=[
            ScoreCount(min_score=tenth, count=(row.scores or {}).get(str(tenth), 0)) for tenth in range(0, 100, 10)
        ],
        totals=Totals(
            images=row.images or 0,
            blobs=row.blobs or 0,
            uploads=row.uploads or 0,
            bytes_received=received,
            bytes_stored=stored,
            bytes_saved=max(0, received - stored),
        ),
    )
