"""Take the items of a JSON batch, each admitted by itself; show batches with what came in by them."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from uuid import UUID

from imagesvc.accounts.service import Caller
from imagesvc.db import Database, new_id
from imagesvc.errors import ImagesvcError
from imagesvc.http.slow_clients import TimedBody, UploadStalled
from imagesvc.settings import Settings
from imagesvc.uploads.admission import Admission, Admitted, Told
from imagesvc.uploads.batches import queries
from imagesvc.uploads.batches.items import JsonBatchBody, JsonItem
from imagesvc.uploads.concurrency import UploadConcurrency
from imagesvc.uploads.errors import BatchNotFound, BrokenJson, NoFile, NotABatch, RequestTooLarge
from imagesvc.uploads.results import Results
from imagesvc.uploads.source import UploadSource

MAX_SHOWN_IN_A_PAGE = 25
"""How many uploads of each batch a page of batches shows; the batch itself shows ``MAX_SHOWN``."""
MAX_SHOWN = 1000
UNREADABLE = (BrokenJson, NotABatch, RequestTooLarge, UploadStalled)
"""After one of these nothing more can be read from the request."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BatchPage:
    """``items`` is the JSON of an array; ``last_id`` is None when no batch follows the last one shown."""

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

    async def take(
        self,
        stream: AsyncIterator[bytes],
        request_body: TimedBody,
        source: UploadSource,
        results: Results,
        *,
        declared_bytes: int | None,
    ) -> None:
        """The items of a body. Raises NoFile, and what keeps its first item from being read."""
        body = JsonBatchBody(self._settings, stream)
        async with self._concurrency.enter(source, declared_bytes=declared_bytes):
            try:
                async for item in body.items():
                    request_body.next_file()
                    await self._take_item(item, source, results)
                    # a chunk may hold thousands of tiny items: others have their turn between any two
                    await asyncio.sleep(0)
            except UNREADABLE as error:
                if not results.count:
                    raise
                results.warnings.append(f"The body could not be read to its end: {error.detail or error.title}")
        results.warnings += body.warnings
        await self._admission.end_batch(source, rejected=results.rejected_count)
        if not results.count:
            raise NoFile("Send at least one image.", errors=[{"pointer": "", "detail": "There is no image in it."}])

    async def _take_item(self, item: JsonItem, source: UploadSource, results: Results) -> None:
        try:
            outcome = await self._admit(item, source, position=results.count)
        except UNREADABLE as error:
            results.add(item.filename, error)
            raise
        except ImagesvcError as error:
            if 400 <= error.status < 500:
                where = {"pointer": f"{item.pointer}/file", "detail": error.detail or error.title}
                error.extra.setdefault("errors", [where])
            try:
                await item.finish()
            finally:
                results.add(item.filename, error)
        else:
            results.add(item.filename, outcome)

    async def _admit(self, item: JsonItem, source: UploadSource, *, position: int) -> Admitted:
        async def tell() -> Told:
            await item.finish()
            if (problem := item.problem()) is not None:
                raise problem
            return item.told(source.link)

        if not await item.find_file() or item.wrong:
            await item.finish()
            raise item.problem() or NoFile
        return await self._admission.admit_before_told(item.chunks(), tell, source, position=position, max_bytes=None)

    async def page(self, caller: Caller, *, before: UUID | None, offset: int, limit: int) -> BatchPage:
        """The caller's batches, the newest first; an admin's are all."""
        caller.require("read")
        sql = queries.PAGE_OF_BATCHES[caller.is_admin]
        row = await self._database.fetch_row(sql, caller.user_id, before, offset, limit, MAX_SHOWN_IN_A_PAGE)
        return BatchPage(items=row["items"], last_id=row["last_id"] if row["has_more"] else None)

    async def get(self, caller: Caller, batch_id: UUID) -> str:
        """The JSON of one batch. Raises BatchNotFound."""
        caller.require("read")
        row = await self._database.fetch_row(queries.BATCH[caller.is_admin], caller.user_id, batch_id, MAX_SHOWN)
        if row is None:
            raise BatchNotFound
        found: str = row["batch"]
        return found
