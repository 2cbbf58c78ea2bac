"""One large file over a bad line: tus 1.0. What has arrived before a cut counts, also over two runs of the client."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx

from imagesvc.client.errors import FileUnusable, Refused
from imagesvc.client.file_reader import Contents, look_at
from imagesvc.client.models import Context, Problem, Sent
from imagesvc.client.transport import Line, TryAgain

VERSION = {"Tus-Resumable": "1.0.0"}
CHUNK_BYTES = 256 * 1024
FORGOTTEN = frozenset({"upload-expired", "upload-terminated", "upload-worn-out", "upload-lost"})
BEGINNINGS = 3
"""How often an upload is begun anew when the service has forgotten or lost it."""
NOT_FOUND, WRONG_OFFSET = 404, 409


def _is_forgotten(problem: Problem) -> bool:
    return problem.status == NOT_FOUND or problem.slug in FORGOTTEN


def _nothing(_value: object) -> None: ...


class ResumableUpload:
    """``known`` is the id of an upload that an earlier run began; ``on_begun`` is told that of a new one.

    ``on_bytes`` is told how many bytes more are on their way; a negative number of them did not arrive.
    """

    def __init__(
        self,
        line: Line,
        path: str,
        contents: Contents,
        context: Context,
        *,
        known: str | None = None,
        on_begun: Callable[[str], None] = _nothing,
        on_bytes: Callable[[int], None] = _nothing,
    ) -> None:
        self._line, self._path = line, path
        self._contents, self._context = contents, context
        self._id = known
        self._on_begun, self._on_bytes = on_begun, on_bytes
        self._told = 0
        self._furthest = 0
        self._patience = line.patience()

    async def send(self) -> Sent:
        """Raises Refused, DoorClosed, ServerAway, FileUnusable."""
        for is_last in (False,) * (BEGINNINGS - 1) + (True,):
            try:
                return await self._line.persistently(self._go_on, self._patience)
            except Refused as refused:
                if is_last or not _is_forgotten(refused.problem):
                    raise
                self._id = None
        raise AssertionError  # the last round returns or raises

    async def _go_on(self) -> Sent:
        """From where it stands to the end, as far as the line holds."""
        offset = 0
        if self._id is None:
            await self._begin()
        else:
            answer = await self._ask("HEAD")
            if sent := Sent.of_headers(answer.headers):
                self._tell(self._contents.found.size)
                return sent
            offset = int(answer.headers["upload-offset"])
        if offset > self._furthest:
            self._furthest = offset
            self._patience.went_forward()
        self._tell(offset)
        headers = {
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(self._contents.found.size - offset),
        }
        answer = await self._ask("PATCH", headers=headers, content=self._rest(offset))
        if sent := Sent.of_headers(answer.headers):
            return sent
        raise TryAgain(Problem(type="about:blank", title="not all of it has arrived"), is_away=False)

    async def _begin(self) -> None:
        """Without bytes: if the answer to the last ones were lost, nobody would know which upload they are in."""
        fields = self._context.fields() | {"filename": self._contents.filename, "sha256": self._contents.sha256}
        metadata = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in fields.items())
        headers = {"Upload-Length": str(self._contents.found.size), "Upload-Metadata": metadata}
        answer = await self._line.once("POST", self._path, headers=VERSION | headers)
        self._id = answer.headers["location"].rpartition("/")[2]
        self._on_begun(self._id)

    async def _ask(self, method: str, *, headers: dict[str, str] | None = None, content: Any = None) -> httpx.Response:
        path = f"{self._path}/{self._id}"
        try:
            return await self._line.once(
                method, path, headers=VERSION | (headers or {}), content=content, may_be_gone=True
            )
        except Refused as refused:
            if refused.problem.status == WRONG_OFFSET:  # a request of ours that was cut is still being stored
                raise TryAgain(refused.problem, is_away=False) from refused
            raise

    async def _rest(self, offset: int) -> AsyncIterator[bytes]:
        """The bytes from there on, read while they are sent. Raises FileUnusable."""
        found = self._contents.found
        if await asyncio.to_thread(look_at, found.path) != found:
            raise FileUnusable("it was changed while it was sent")
        with await asyncio.to_thread(found.path.open, "rb", buffering=0) as file:
            file.seek(offset)
            while offset < found.size:
                chunk = await asyncio.to_thread(file.read, min(CHUNK_BYTES, found.size - offset))
                if not chunk:
                    raise FileUnusable("it was cut while it was sent")
                yield chunk
                offset += len(chunk)
                self._tell(offset)

    def _tell(self, offset: int) -> None:
        self._on_bytes(offset - self._told)
        self._told = offset
