"""Admits the items of a JSON batch, each by itself, and reads batches with their uploads."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from uuid import UUID

from imagesvc.accounts.service import Caller
from imagesvc.db import Database, new_id
from imagesvc.errors import ImagesvcError
from imagesvc.http.public_path import public_path
from imagesvc.http.slow_clients import UploadStalled
from imagesvc.settings import Settings
from imagesvc.uploads.admission import Admission, Admitted, FileDescription
from imagesvc.uploads.batches import queries
from imagesvc.uploads.batches.items import JsonBatchBody, JsonItem
from imagesvc.uploads.concurrency import UploadConcurrency
from imagesvc.uploads.errors import BatchNotFound, BrokenJson, NoFile, NotABatch, RequestTooLarge
from imagesvc.uploads.source import UploadSource
from imagesvc.uploads.upload_request import UploadRequest

MAX_UPLOADS_IN_A_LIST = 25
"""How many uploads of each batch a page of batches shows."""
MAX_UPLOADS = 1000
"""How many uploads a single batch shows."""
UNREADABLE = (BrokenJson, NotABatch, RequestTooLarge, UploadStalled)
"""After one of these errors nothing more can be read from the request."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BatchPage:
    """``items`` is the text of a JSON array. ``last_id`` is None on the last page."""

    items: str
    last_id: UUID | None


class Batches:
    def __init__(
        self, settings: Settings, database: Database, admission: Admission, concurrency: UploadConcurrency
    ) -> None:
        self._settings = settings
        self._database = database
        self._admission = admission
        self._concurrency = concurrency

    def source(self, caller: Caller) -> UploadSource:
        caller.require("upload")
        return UploadSource(
            owner_id=caller.user_id, way="batch", max_file_bytes=self._settings.max_file_bytes, batch_id=new_id()
        )

    async def take(self, request: UploadRequest, stream: AsyncIterator[bytes]) -> None:
        """Admit the items of a body. ``stream`` is the body of the request, possibly observed by others.

        Raises NoFile, and any error that occurs before the first item.
        """
        body, results = JsonBatchBody(self._settings, stream), request.results
        async with self._concurrency.enter(request.source, declared_bytes=request.declared_bytes):
            try:
                async for item in body.items():
                    request.body.next_file()
                    await self._take_item(request, item)
                    # A chunk may hold thousands of tiny items: let other tasks run between two items.
                    await asyncio.sleep(0)
            except UNREADABLE as error:
                if not results.count:
                    raise
                results.warnings.append(f"The body could not be read to its end: {error.detail or error.title}")
        results.warnings += body.warnings
        await self._admission.end_batch(request.source, rejected=results.rejected_count)
        if not results.count:
            raise NoFile("Send at least one image.", errors=[{"pointer": "", "detail": "The batch has no images."}])

    async def _take_item(self, request: UploadRequest, item: JsonItem) -> None:
        results = request.results
        try:
            admitted = await self._admit(item, request.source, position=results.count)
        except UNREADABLE as error:
            results.add(item.filename, error)
            raise
        except ImagesvcError as error:
            if 400 <= error.status < 500:
                default = {"pointer": f"{item.pointer}/file", "detail": error.detail or error.title}
                error.extra.setdefault("errors", [default])
            try:
                await item.finish()
            finally:
                results.add(item.filename, error)
        else:
            results.add(item.filename, admitted)

    async def _admit(self, item: JsonItem, source: UploadSource, *, position: int) -> Admitted:
        async def read_description() -> FileDescription:
            await item.finish()
            if (problem := item.problem()) is not None:
                raise problem
            return item.description(source.link)

        if not await item.find_file() or item.errors:
            await item.finish()
            raise item.problem() or NoFile
        return await self._admission.admit_described_later(
            item.chunks(), read_description, source, position=position, max_bytes=None
        )

    async def page(self, caller: Caller, *, before: UUID | None, offset: int, limit: int) -> BatchPage:
        """The caller's batches, newest first; all batches for an admin."""
        caller.require("read")
        row = await self._database.fetch_one(
            queries.PAGE_OF_BATCHES[caller.is_admin],
            queries.BatchPageRow,
            *(caller.user_id, before, offset, limit, MAX_UPLOADS_IN_A_LIST, public_path("")),
        )
        return BatchPage(items=row.items, last_id=row.last_id if row.has_more else None)

    async def get(self, caller: Caller, batch_id: UUID) -> str:
        """The JSON text of one batch. Raises BatchNotFound."""
        caller.require("read")
        row = await self._database.fetch_one_or_none(
            queries.BATCH[caller.is_admin],
            queries.BatchRow,
            *(caller.user_id, batch_id, MAX_UPLOADS, public_path("")),
        )
        if row is None:
            raise BatchNotFound
        return row.batch
