"""Answers a request for a stored file: the whole file (200), a range (206), or not modified (304).

Conditions are evaluated before the object is opened, in the order of RFC 9110, section 13.2.2: ``If-Match`` (412),
``If-None-Match`` (304), then ``Range`` with ``If-Range`` (206, 416). HEAD has the same headers and opens nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from imagesvc.http.conditional import allows_range, is_unchanged, require_match
from imagesvc.http.digests import repr_digest
from imagesvc.http.filenames import content_disposition
from imagesvc.http.ranges import parse_range

# Headers of the 200 that a 304 repeats (RFC 9110, section 15.4.5).
_OF_304 = frozenset({b"cache-control", b"content-location", b"etag", b"expires", b"vary"})

OpenBytes = Callable[[int, int], AsyncIterator[bytes]]


class StoredFileResponse(Response):
    """Sends ``size`` bytes with the tag ``etag``, read by ``open(start, stop)`` (half-open) when they are needed.

    An async generator from ``open`` is closed at the end of the answer, also when the client disconnects. The status is
    sent after the first chunk is read, so an error before that becomes an ordinary problem.
    """

    def __init__(
        self,
        open: OpenBytes,
        *,
        size: int,
        media_type: str,
        etag: str,
        cache_control: str,
        sha256: bytes | None = None,
        filename: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.media_type = media_type
        self.init_headers({"ETag": etag, "Cache-Control": cache_control, "Accept-Ranges": "bytes", **(headers or {})})
        if sha256 is not None:
            self.headers["Repr-Digest"] = repr_digest(sha256)
        if filename is not None:
            self.headers["Content-Disposition"] = content_disposition(filename)
        self._open, self._size, self._etag = open, size, etag

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises PreconditionFailed and RangeNotSatisfiable before anything is sent."""
        headers = Headers(scope=scope)
        require_match(headers, self._etag)
        if is_unchanged(headers, self._etag):
            await self._send_head(send, 304, [pair for pair in self.raw_headers if pair[0] in _OF_304])
            return
        wanted = None
        if scope["method"] == "GET" and "range" in headers and allows_range(headers, self._etag):
            wanted = parse_range(headers["range"], self._size)
        start, stop = wanted or (0, self._size)
        if wanted is not None:
            self.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{self._size}"
        self.headers["Content-Length"] = str(stop - start)
        status = 206 if wanted is not None else 200
        if scope["method"] == "HEAD" or start == stop:
            await self._send_head(send, status, self.raw_headers)
        else:
            await self._send_bytes(receive, send, status, self._open(start, stop))

    @staticmethod
    async def _send_head(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_bytes(self, receive: Receive, send: Send, status: int, chunks: AsyncIterator[bytes]) -> None:
        disconnected = None
        try:
            chunk = await anext(chunks, b"")
            await send({"type": "http.response.start", "status": status, "headers": self.raw_headers})
            # Sending to a disconnected client does not fail; only `receive` reports it. Without this task the rest of
            # a large file would still be fetched from the store.
            disconnected = asyncio.create_task(_disconnected(receive))
            while chunk and not disconnected.done():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                # Sending and reading buffered data do not yield to other tasks, such as `disconnected`.
                await asyncio.sleep(0)
                chunk = await anext(chunks, b"")
            if not disconnected.done():
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            if disconnected is not None:
                disconnected.cancel()
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
