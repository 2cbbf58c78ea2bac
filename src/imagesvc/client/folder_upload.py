"""Uploads whole folders: reads each file once, asks for many at a time whether they are present, sends the missing.

    reader -> batches (read, hashed) -> checker (already present?) -> pending files -> senders -> results

Small files stay in memory from their hash until they are accepted, so that exactly the hashed bytes are sent; a memory
budget limits how many. Of large files only the hash is kept: they are read from the disk again if they are sent.

Every file ends in one result. Once access is denied (a used-up link, a credential that is not valid) the remaining
files get that problem without another request. When the service stays unavailable the run ends with
``ServerUnavailable``.
"""

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from pathlib import Path

from imagesvc.client.client import LARGE_BYTES, Client
from imagesvc.client.errors import AccessDenied, FileUnreadable, Refused
from imagesvc.client.excludes import Excludes
from imagesvc.client.file_reader import FileContents, LocalFile, read_hash, read_into_memory
from imagesvc.client.files import FoundFile, find_files
from imagesvc.client.journal import Journal
from imagesvc.client.memory_budget import MemoryBudget
from imagesvc.client.models import Context, Problem, Receipt
from imagesvc.client.results import FileResult, Listeners, Status

FIRST_READ_BYTES, SECOND_READ_BYTES = 24 * 1024 * 1024, 16 * 1024 * 1024
"""Limits on the bytes in memory: of files read for the first time, and of files read again to be sent."""
BATCH_FILES, BATCH_BYTES = 100, 1024 * 1024
"""Size of a check; larger batches would keep the senders waiting for their first file."""
LOOK_AHEAD_FILES = 256
CONTENT_SLUGS = frozenset({"unsupported-media-type", "empty-file", "file-too-large"})
"""Problems of the content itself, which hold in later runs and through other links too."""
IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .gif .tif .tiff .bmp .heic .heif .hif .avif".split()  # noqa: SIM905
)
"""Names of images. When the service finds no image in such a file, the file is damaged, and the user should know."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PendingFile:
    """A file that was read, and the bytes of the memory budget that it holds."""

    contents: FileContents
    held_bytes: int


class FolderUpload:
    def __init__(
        self,
        client: Client,
        context: Context,
        journal: Journal,
        listeners: Listeners,
        *,
        concurrency: int,
        is_dry: bool = False,
        excludes: Excludes | None = None,
        memory_bytes: int = FIRST_READ_BYTES,
    ) -> None:
        self._client, self._context, self._journal, self._listeners = client, context, journal, listeners
        self._concurrency, self._is_dry = concurrency, is_dry
        self._excludes = excludes or Excludes()
        self._named_files: set[str] = set()
        self._first_read_budget = MemoryBudget(memory_bytes)
        self._batch_bytes = min(BATCH_BYTES, memory_bytes)
        # separate, for files whose hash the journal had: files that wait for a sender must not starve those being sent
        self._second_read_budget = MemoryBudget(SECOND_READ_BYTES)
        self._batches: asyncio.Queue[list[PendingFile] | None] = asyncio.Queue(maxsize=1)
        self._pending: asyncio.Queue[PendingFile | None] = asyncio.Queue(maxsize=1)
        self._in_flight: dict[str, asyncio.Event] = {}
        self._access_problem: Problem | None = None
        self._is_stopping = False

    async def send(self, named: Sequence[Path]) -> None:
        """Send all named files and folders. Raises ServerUnavailable.

        A file below a named folder that is no image is ``skipped``. If it was named itself, it is ``rejected``.
        """
        self._named_files = await asyncio.to_thread(_named_files, named)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read_all(named))
                group.create_task(self._check_all())
                for _ in range(self._concurrency):
                    group.create_task(self._send_all())
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        finally:
            self._is_stopping = True

    # ---- reader

    async def _read_all(self, named: Sequence[Path]) -> None:
        group: list[LocalFile] = []
        async for found in _find_ahead(named, self._excludes):
            if isinstance(found, tuple):
                self._report_unreadable(*found)
            elif (problem := self._access_problem) is not None:
                self._listeners.on_result(
                    FileResult(path=found.path, status="rejected", size=found.size, problem=problem)
                )
            else:
                # a group beyond the memory budget would wait for itself, and hashing a large file takes long
                if len(group) == BATCH_FILES or sum(file.size for file in (*group, found)) > self._batch_bytes:
                    await self._read_group(group)
                    group = []
                group.append(found)
        await self._read_group(group)
        await self._batches.put(None)

    async def _read_group(self, group: Sequence[LocalFile]) -> None:
        """Read all in one call to a thread: a call for each small file would cost more than reading it."""
        batch: list[PendingFile] = []
        unread: list[LocalFile] = []
        for file in group:
            if sha256 := self._journal.hash_of(file):
                batch.append(PendingFile(contents=FileContents(file=file, sha256=sha256), held_bytes=0))
            else:
                unread.append(file)
        held = {
            file.path: await self._first_read_budget.acquire(file.size if self._is_kept(file) else 0) for file in unread
        }
        for file, contents in zip(unread, await asyncio.to_thread(self._contents_of, unread), strict=True):
            if isinstance(contents, FileUnreadable):
                self._first_read_budget.release(held[file.path])
                self._report_unreadable(file.path, contents)
            else:
                self._journal.record_hash(contents.file, contents.sha256)
                batch.append(PendingFile(contents=contents, held_bytes=held[file.path]))
        if batch:
            await self._batches.put(batch)

    def _is_kept(self, file: LocalFile) -> bool:
        """Whether its bytes stay in memory until it is sent."""
        return file.size <= LARGE_BYTES and not self._is_dry

    def _contents_of(self, group: Sequence[LocalFile]) -> list[FileContents | FileUnreadable]:
        contents: list[FileContents | FileUnreadable] = []
        for file in group:
            try:
                if self._is_kept(file):
                    contents.append(read_into_memory(file))
                else:
                    contents.append(read_hash(file, is_stopping=lambda: self._is_stopping))
            except FileUnreadable as unreadable:
                contents.append(unreadable)
        return contents

    # ---- checker

    async def _check_all(self) -> None:
        while (batch := await self._batches.get()) is not None:
            present = await self._check(batch)
            batch.reverse()
            while batch:
                pending = batch.pop()  # popped, so that the batch no longer holds the bytes of files in sending
                if (result := self._result_without_sending(pending, present)) is not None:
                    self._finish(pending, result)
                else:
                    await self._pending.put(pending)
        for _ in range(self._concurrency):
            await self._pending.put(None)

    async def _check(self, batch: list[PendingFile]) -> dict[str, str | None]:
        """SHA-256 to image id of the contents that the service has."""
        if self._access_problem is None:
            try:
                return await self._client.check({pending.contents.sha256 for pending in batch})
            except Refused as refused:  # uploads would be refused as well
                self._access_problem = refused.problem
        return {}

    def _result_without_sending(self, pending: PendingFile, present: dict[str, str | None]) -> FileResult | None:
        """The result of a file that need not be sent; None for one that has to be."""
        sha256 = pending.contents.sha256
        record = self._journal.content_record(sha256)
        if sha256 in present:
            # a file that an interrupted run has sent gets the result which that run would have reported
            earlier = record.receipt if record and not record.is_from_this_run else None
            receipt = earlier or Receipt(status="duplicate", image_id=present[sha256])
            return _result(pending, receipt.status, receipt=receipt)
        if record is not None and record.problem is not None:
            return _result(pending, "rejected", problem=record.problem)
        if self._is_dry and self._access_problem is None:
            return _result(pending, "missing")
        return None

    # ---- senders

    async def _send_all(self) -> None:
        while (pending := await self._pending.get()) is not None:
            await self._send(pending)
            del pending  # frees its bytes while the sender waits for the next file

    async def _send(self, pending: PendingFile) -> None:
        """Send one file. A file of the same content as one in flight waits for its result."""
        sha256 = pending.contents.sha256
        while (other := self._in_flight.get(sha256)) is not None:
            await other.wait()
        self._in_flight[sha256] = asyncio.Event()
        try:
            result = self._result_of_repetition(pending) or await self._result_of_upload(pending)
        finally:
            self._in_flight.pop(sha256).set()
        self._finish(pending, result)

    def _result_of_repetition(self, pending: PendingFile) -> FileResult | None:
        """The result of a file whose content this run has sent already."""
        record = self._journal.content_record(pending.contents.sha256)
        if record is None or not record.is_from_this_run:
            return None
        if record.receipt is not None:
            return _result(pending, "duplicate", receipt=dataclasses.replace(record.receipt, status="duplicate"))
        if record.problem is not None:
            return _result(pending, "rejected", problem=record.problem)
        return None

    async def _result_of_upload(self, pending: PendingFile) -> FileResult:
        if self._access_problem is not None:
            return _result(pending, "rejected", problem=self._access_problem)
        sha256 = pending.contents.sha256
        try:
            receipt = await self._upload(pending.contents)
        except FileUnreadable as unreadable:
            return _result(pending, "unreadable", problem=_unreadable_problem(unreadable))
        except AccessDenied as denied:
            self._access_problem = self._access_problem or denied.problem
            return _result(pending, "rejected", problem=denied.problem)
        except Refused as refused:
            if refused.problem.slug in CONTENT_SLUGS:
                self._journal.record_refused(sha256, refused.problem)
            return _result(pending, "rejected", problem=refused.problem)
        self._journal.record_accepted(sha256, receipt)
        return _result(pending, receipt.status, receipt=receipt, is_sent=True)

    async def _upload(self, contents: FileContents) -> Receipt:
        file, sha256 = contents.file, contents.sha256
        if file.size > LARGE_BYTES:
            record = self._journal.content_record(sha256)
            return await self._client.upload_resumably(
                contents,
                self._context,
                upload_id=record.resumable_id if record else None,
                on_created=lambda resumable_id: self._journal.record_created(sha256, resumable_id),
                on_bytes=lambda count: self._listeners.on_bytes(file.path, count),
            )
        if contents.data is not None:
            return await self._client.upload_contents(contents, self._context)
        held = await self._second_read_budget.acquire(file.size)
        try:
            contents = await asyncio.to_thread(read_into_memory, file)
            if contents.sha256 != sha256:
                raise FileUnreadable("it changed before it was sent")
            return await self._client.upload_contents(contents, self._context)
        finally:
            self._second_read_budget.release(held)

    # ---- results

    def _finish(self, pending: PendingFile, result: FileResult) -> None:
        self._first_read_budget.release(pending.held_bytes)
        if self._is_skipped(result):
            result = dataclasses.replace(result, status="skipped")
        self._listeners.on_result(result)

    def _is_skipped(self, result: FileResult) -> bool:
        return (
            result.problem is not None
            and result.problem.slug == "unsupported-media-type"
            and result.path.suffix.lower() not in IMAGE_SUFFIXES
            and os.path.abspath(result.path) not in self._named_files
        )

    def _report_unreadable(self, path: Path, unreadable: FileUnreadable) -> None:
        self._listeners.on_result(FileResult(path=path, status="unreadable", problem=_unreadable_problem(unreadable)))


def _result(
    pending: PendingFile,
    status: Status,
    *,
    receipt: Receipt | None = None,
    problem: Problem | None = None,
    is_sent: bool = False,
) -> FileResult:
    file = pending.contents.file
    return FileResult(
        path=file.path,
        status=status,
        size=file.size,
        sha256=pending.contents.sha256,
        is_sent=is_sent,
        receipt=receipt,
        problem=problem,
    )


def _unreadable_problem(unreadable: FileUnreadable) -> Problem:
    return Problem(type="about:blank", title="The file cannot be read", detail=str(unreadable))


def _named_files(named: Sequence[Path]) -> set[str]:
    """The absolute paths of those that are no folders."""
    return {os.path.abspath(path) for path in named if not path.is_dir()}


async def _find_ahead(named: Sequence[Path], excludes: Excludes) -> AsyncIterator[FoundFile]:
    """``find_files`` in a thread, many files per call, since folders may be slow to list."""
    found = find_files(named, excludes)
    while group := await asyncio.to_thread(lambda: list(islice(found, LOOK_AHEAD_FILES))):
        for one in group:
            yield one


def _first(errors: BaseExceptionGroup) -> BaseException:
    """The first error: tasks that fail together fail for the same reason."""
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
