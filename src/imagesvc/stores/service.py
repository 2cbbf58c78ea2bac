"""Keep the store master: one store, or a file of them in batches, each in a transaction of its own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import asyncpg

from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.errors import Invalid
from imagesvc.settings import Settings
from imagesvc.stores import queries
from imagesvc.stores.csv_file import Bad, Row, StoreFile
from imagesvc.stores.errors import StoreFileTooLarge, StoreNotFound
from imagesvc.stores.models import Store
from imagesvc.stores.schemas import BadLine, Imported, NewStore

BLOCK_BYTES = 256 * 1024
"""What is parsed at a time, in a thread: some five thousand rows, which are one batch."""
MAX_ERRORS = 1000
NO_ZONE = "An IANA time zone is needed, such as `Europe/Berlin`."


class Stores:
    def __init__(self, settings: Settings, database: Database) -> None:
        self._max_import_bytes = settings.max_import_bytes
        self._database = database

    async def put(self, caller: Caller, store_id: str, told: NewStore) -> tuple[Store, bool]:
        """The store, and whether it is new. Raises Forbidden, Invalid."""
        caller.require("admin")
        if told.time_zone is not None and not await self._is_time_zone(told.time_zone):
            raise Invalid(f"/time_zone: {NO_ZONE}", errors=[{"pointer": "/time_zone", "detail": NO_ZONE}])
        row = await self._database.fetch_row(queries.PUT_STORE, store_id, told.store_name, told.area, told.time_zone)
        return await self._store(store_id), row["is_new"]

    async def get(self, caller: Caller, store_id: str) -> Store:
        """Raises Forbidden, StoreNotFound."""
        caller.require("read")
        return await self._store(store_id)

    async def _store(self, store_id: str) -> Store:
        async with self._database.sessions() as session:
            found = await queries.store(session, store_id)
        if found is None:
            raise StoreNotFound
        return found

    async def page(self, caller: Caller, *, area: str | None, after: str | None, limit: int) -> Sequence[Store]:
        caller.require("read")
        async with self._database.sessions() as session:
            return await queries.page_of_stores(session, area=area, after=after, limit=limit)

    async def import_csv(self, caller: Caller, chunks: AsyncIterator[bytes]) -> Imported:
        """Save the stores of a file; again: the same stores. Raises Forbidden, NotAStoreFile, StoreFileTooLarge."""
        caller.require("admin")
        file, report, zones = StoreFile(), Imported(), dict[str, bool]()
        block, size = bytearray(), 0
        async for chunk in chunks:
            size += len(chunk)
            if size > self._max_import_bytes:
                raise StoreFileTooLarge(
                    f"At most {self._max_import_bytes} bytes are taken; {report.rows} rows of it were.",
                    extra={"imported": report.model_dump()},
                )
            block += chunk
            if len(block) >= BLOCK_BYTES:
                await self._save(file, await asyncio.to_thread(file.feed, bytes(block)), report, zones)
                block.clear()
        await self._save(file, await asyncio.to_thread(file.feed, bytes(block), is_last=True), report, zones)
        return report

    async def _save(
        self, file: StoreFile, found: Sequence[Row | Bad], report: Imported, zones: dict[str, bool]
    ) -> None:
        good: dict[str, Row] = {}
        for zone in {row.time_zone for row in found if isinstance(row, Row) and row.time_zone} - zones.keys():
            zones[zone] = await self._is_time_zone(zone)
        for row in found:
            if isinstance(row, Row) and zones.get(row.time_zone or "", True):
                good[row.id] = row
                continue
            report.rejected += 1
            if len(report.errors) < MAX_ERRORS:
                detail = row.detail if isinstance(row, Bad) else f"TimeZone: {NO_ZONE}"
                report.errors.append(BadLine(line=row.line, detail=detail))
        report.rows += len(found)
        if good:
            await self._save_batch(list(good.values()), has_time_zones=file.has_time_zones, report=report)
        report.unchanged = report.rows - report.rejected - report.created - report.updated

    async def _save_batch(self, rows: Sequence[Row], *, has_time_zones: bool, report: Imported) -> None:
        # in one order everywhere, so that two imports at once do not wait for each other in a circle
        rows = sorted(rows, key=lambda row: row.id)
        columns = [[getattr(row, name) for row in rows] for name in ("id", "name", "area", "time_zone")]
        saved = await self._database.fetch_row(queries.SAVE_STORES, *columns, has_time_zones)
        report.created += saved["created"]
        report.updated += saved["updated"]

    async def _is_time_zone(self, name: str) -> bool:
        """Whether we and the database both know it: each has a list of its own."""
        try:
            await asyncio.to_thread(ZoneInfo, name)
            await self._database.fetch_row(queries.IS_TIME_ZONE, name)
        except (ZoneInfoNotFoundError, ValueError, OSError, asyncpg.InvalidParameterValueError):
            return False
        return True
