"""Reports visits by store and day."""

import dataclasses
import datetime as dt

from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.errors import Invalid
from imagesvc.jobs.report import queries
from imagesvc.stores.errors import StoreNotFound


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VisitFilters:
    """Conditions of a report; None means no condition. Both days are inclusive."""

    area: str | None = None
    store_id: str | None = None
    first_day: dt.date | None = None
    last_day: dt.date | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReportPage:
    """``results`` is a JSON array. ``last_id`` is its last store, or None on the last page."""

    results: str
    last_id: str | None


class VisitReports:
    """The service behind the report route."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, caller: Caller, filters: VisitFilters, *, after: str, limit: int) -> ReportPage:
        """A page of stores: images of the caller's jobs, or of all jobs for an admin.

        Raises Forbidden, Invalid, StoreNotFound.
        """
        caller.require("read")
        if filters.first_day and filters.last_day and filters.first_day > filters.last_day:
            wrong = {"pointer": "/query/end_date", "detail": "The end date is before the start date."}
            raise Invalid(f"end_date: {wrong['detail']}", errors=[wrong])
        sql = queries.report(
            is_for_all_owners=caller.is_admin, has_area=filters.area is not None, has_store=filters.store_id is not None
        )
        arguments = (filters.area, filters.store_id, filters.first_day, filters.last_day, after, limit)
        row = await self._database.fetch_one(sql, queries.ReportRow, caller.user_id, *arguments)
        if filters.store_id is not None and row.last_id is None:
            await self._require_store(filters.store_id)
        return ReportPage(results=row.results, last_id=row.last_id if row.has_more else None)

    async def _require_store(self, store_id: str) -> None:
        if await self._database.fetch_row(queries.STORE_EXISTS, store_id) is None:
            raise StoreNotFound
