"""What visits came to, by store and day."""

import dataclasses
import datetime as dt

from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.errors import Invalid
from imagesvc.jobs.report import queries
from imagesvc.stores.errors import StoreNotFound


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What is None is not asked for. Both days are included."""

    area: str | None = None
    store_id: str | None = None
    first_day: dt.date | None = None
    last_day: dt.date | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoresPage:
    """``results`` is the JSON of an array; ``last_id`` is None when no store follows."""

    results: str
    last_id: str | None


class Visits:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def report(self, caller: Caller, filters: Filters, *, after: str, limit: int) -> StoresPage:
        """Of the caller's own jobs, of all for an admin. Raises Forbidden, Invalid, StoreNotFound."""
        caller.require("read")
        if filters.first_day and filters.last_day and filters.first_day > filters.last_day:
            wrong = {"pointer": "/query/end_date", "detail": "It lies before start_date."}
            raise Invalid(f"end_date: {wrong['detail']}", errors=[wrong])
        sql = queries.report(
            is_of_all=caller.is_admin, has_area=filters.area is not None, has_store=filters.store_id is not None
        )
        asked = (filters.area, filters.store_id, filters.first_day, filters.last_day, after, limit)
        row = await self._database.fetch_row(sql, caller.user_id, *asked)
        if filters.store_id is not None and row["last_id"] is None:
            await self._require_known(filters.store_id)
        return StoresPage(results=row["results"], last_id=row["last_id"] if row["has_more"] else None)

    async def _require_known(self, store_id: str) -> None:
        if await self._database.fetch_row(queries.STORE_IS_KNOWN, store_id) is None:
            raise StoreNotFound
