"""Adds, replaces and reads stores. A file is imported in batches, each in its own transaction."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import asyncpg

from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.errors import Invalid
from imagesvc.settings import Settings
from imagesvc.stores import queries
from imagesvc.stores.csv_file import CsvError, CsvRow, CsvStore, StoreFile
from imagesvc.stores.errors import StoreFileTooLarge, StoreNotFound
from imagesvc.stores.models import Store
from imagesvc.stores.queries import SavedStore, SavedStores
from imagesvc.stores.schemas import BadLine, Imported, NewStore

BLOCK_BYTES = 256 * 1024
"""Parsed at a time, in a thread: about five thousand rows, which form one batch."""
MAX_ERRORS = 1000
NOT_A_TIME_ZONE = "Must be an IANA time zone such as `Europe/Berlin`."


class Stores:
    """The service behind the store routes."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._max_import_bytes = settings.max_import_bytes
        self._database = database

    async def put(self, caller: Caller, store_id: str, new: NewStore) -> tuple[Store, bool]:
        """Add or replace a store. Returns it, and whether it is new. Raises Forbidden, Invalid."""
        caller.require("admin")
        if new.time_zone is not None and not await self._is_time_zone(new.time_zone):
            raise Invalid(
                f"/time_zone: {NOT_A_TIME_ZONE}", errors=[{"pointer": "/time_zone", "detail": NOT_A_TIME_ZONE}]
            )
        values = (store_id, new.store_name, new.area, new.time_zone)
        saved = await self._database.fetch_one(queries.PUT_STORE, SavedStore, *values)
        return await self._store(store_id), saved.is_new

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
        """In the order of the ids. Raises Forbidden."""
        caller.require("read")
        async with self._database.sessions() as session:
            return await queries.page_of_stores(session, area=area, after=after, limit=limit)

    async def import_csv(self, caller: Caller, chunks: AsyncIterator[bytes]) -> Imported:
        """Save the stores of a CSV file. It can be repeated. Raises Forbidden, NotAStoreFile, StoreFileTooLarge."""
        caller.require("admin")
        file, report, zones = StoreFile(), Imported(), dict[str, bool]()
        block, size = bytearray(), 0
        async for chunk in chunks:
            size += len(chunk)
            if size > self._max_import_bytes:
                raise StoreFileTooLarge(
                    f"A file may have at most {self._max_import_bytes} bytes. Its first {report.rows} rows were read.",
                    extra={"imported": report.model_dump()},
                )
            block += chunk
            if len(block) >= BLOCK_BYTES:
                await self._save(file, await asyncio.to_thread(file.feed, bytes(block)), report, zones)
                block.clear()
        await self._save(file, await asyncio.to_thread(file.feed, bytes(block), is_last=True), report, zones)
        return report

    async def _save(self, file: StoreFile, rows: Sequence[CsvRow], report: Imported, zones: dict[str, bool]) -> None:
        """Save the valid rows, and add to the report. ``zones`` caches which time zones are valid."""
        valid: dict[str, CsvStore] = {}
        for zone in {row.time_zone for row in rows if isinstance(row, CsvStore) and row.time_zone} - zones.keys():
            zones[zone] = await self._is_time_zone(zone)
        for row in rows:
            if isinstance(row, CsvStore) and zones.get(row.time_zone or "", True):
                valid[row.id] = row
                continue
            report.rejected += 1
            if len(report.errors) < MAX_ERRORS:
                detail = row.detail if isinstance(row, CsvError) else f"TimeZone: {NOT_A_TIME_ZONE}"
                report.errors.append(BadLine(line=row.line, detail=detail))
        report.rows += len(rows)
        if valid:
            await self._save_batch(list(valid.values()), has_time_zones=file.has_time_zones, report=report)
        report.unchanged = report.rows - report.rejected - report.created - report.updated

    async def _save_batch(self, rows: Sequence[CsvStore], *, has_time_zones: bool, report: Imported) -> None:
        # always in the same order, so that concurrent imports cannot deadlock
        rows = sorted(rows, key=lambda row: row.id)
        columns = [[getattr(row, name) for row in rows] for name in ("id", "name", "area", "time_zone")]
        saved = await self._database.fetch_one(queries.SAVE_STORES, SavedStores, *columns, has_time_zones)
        report.created += saved.created
        report.updated += saved.updated

    async def _is_time_zone(self, name: str) -> bool:
        """Whether Python and the database know the time zone: each has its own list."""
        try:
            await asyncio.to_thread(ZoneInfo, name)
            await self._database.fetch_row(queries.IS_TIME_ZONE, name)
        except (ZoneInfoNotFoundError, ValueError, OSError, asyncpg.InvalidParameterValueError):
            return False
        return True
