"""Uploads one large file in parts (tus 1.0). Bytes that arrived before a disconnect count, also across two runs."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Unpack

import httpx

from imagesvc.client.errors import FileUnreadable, Refused
from imagesvc.client.file_reader import FileContents, stat_file
from imagesvc.client.models import Context, Problem, Receipt
from imagesvc.client.transport import RequestBody, RetryableError, Transport

VERSION = {"Tus-Resumable": "1.0.0"}
CHUNK_BYTES = 256 * 1024
LOST_SLUGS = frozenset({"upload-expired", "upload-terminated", "upload-worn-out", "upload-lost"})
MAX_CREATIONS = 3
"""How often an upload is created, when the service no longer has the earlier ones."""
NOT_FOUND, WRONG_OFFSET = 404, 409


def _is_lost(problem: Problem) -> bool:
    """Whether the service no longer has the upload, so that a new one has to be created."""
    return problem.status == NOT_FOUND or problem.slug in LOST_SLUGS


def _ignore(_value: object) -> None: ...


class ResumableUpload:
    """``upload_id`` is that of an upload which an earlier run created; ``on_created`` receives the id of a new one.

    ``on_bytes`` receives the number of bytes sent since its last call; a negative number takes back bytes that did not
    arrive.
    """

    def __init__(
        self,
        transport: Transport,
        path: str,
        contents: FileContents,
        context: Context,
        *,
        upload_id: str | None = None,
        on_created: Callable[[str], None] = _ignore,
        on_bytes: Callable[[int], None] = _ignore,
    ) -> None:
        self._transport, self._path = transport, path
        self._contents, self._context = contents, context
        self._id = upload_id
        self._on_created, self._on_bytes = on_created, on_bytes
        self._reported_offset = 0
        self._max_stored_offset = 0
        self._retry_limit = transport.retry_limit()

    async def send(self) -> Receipt:
        """Raises Refused, AccessDenied, ServerUnavailable, FileUnreadable."""
        for is_last in (False,) * (MAX_CREATIONS - 1) + (True,):
            try:
                return await self._transport.retry(self._attempt, self._retry_limit)
            except Refused as refused:
                if is_last or not _is_lost(refused.problem):
                    raise
                self._id = None
        raise AssertionError  # the last round returns or raises

    async def _attempt(self) -> Receipt:
        """Send everything after the stored offset. Raises RetryableError if it does not arrive in full."""
        size, offset = self._contents.file.size, 0
        if self._id is None:
            await self._create()
        else:
            response = await self._request("HEAD")
            if receipt := Receipt.from_headers(response.headers):
                self._report_offset(size)
                return receipt
            offset = int(response.headers["upload-offset"])
        if offset > self._max_stored_offset:
            self._max_stored_offset = offset
            self._retry_limit.record_progress()
        self._report_offset(offset)
        headers = {
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(size - offset),
        }
        response = await self._request("PATCH", headers=headers, content=self._bytes_from(offset))
        if receipt := Receipt.from_headers(response.headers):
            return receipt
        raise RetryableError(Problem(type="about:blank", title="the upload is incomplete"), is_unavailable=False)

    async def _create(self) -> None:
        """Create the upload without bytes: if the answer is lost, they would be in an upload of unknown id."""
        fields = self._context.fields() | {"filename": self._contents.filename, "sha256": self._contents.sha256}
        metadata = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in fields.items())
        headers = {"Upload-Length": str(self._contents.file.size), "Upload-Metadata": metadata}
        response = await self._transport.send_once("POST", self._path, headers=VERSION | headers)
        self._id = response.headers["location"].rpartition("/")[2]
        self._on_created(self._id)

    async def _request(
        self, method: str, *, headers: Mapping[str, str] | None = None, **body: Unpack[RequestBody]
    ) -> httpx.Response:
        path = f"{self._path}/{self._id}"
        try:
            return await self._transport.send_once(
                method, path, headers={**VERSION, **(headers or {})}, may_be_gone=True, **body
            )
        except Refused as refused:
            if refused.problem.status == WRONG_OFFSET:  # the service still stores a request of ours that was cut off
                raise RetryableError(refused.problem, is_unavailable=False) from refused
            raise

    async def _bytes_from(self, offset: int) -> AsyncIterator[bytes]:
        """Read the file from ``offset`` while it is sent. Raises FileUnreadable."""
        file = self._contents.file
        if await asyncio.to_thread(stat_file, file.path) != file:
            raise FileUnreadable("it changed before it was sent")
        with await asyncio.to_thread(file.path.open, "rb", buffering=0) as opened:
            opened.seek(offset)
            while offset < file.size:
                chunk = await asyncio.to_thread(opened.read, min(CHUNK_BYTES, file.size - offset))
                if not chunk:
                    raise FileUnreadable("it was truncated while it was sent")
                yield chunk
                offset += len(chunk)
                self._report_offset(offset)

    def _report_offset(self, offset: int) -> None:
        self._on_bytes(offset - self._reported_offset)
        self._reported_offset = offset
