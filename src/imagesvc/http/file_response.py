"""The answer that carries stored bytes: whole, in part, or not at all when the client has them already.

Conditions are judged before anything is opened, in the order of RFC 9110, section 13.2.2: ``If-Match`` (412),
``If-None-Match`` (304), then ``Range`` under ``If-Range`` (206, 416). HEAD tells the same headers and opens nothing.
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

# What a 304 repeats of the 200 that it stands for (RFC 9110, section 15.4.5).
_OF_304 = frozenset({b"cache-control", b"content-location", b"etag", b"expires", b"vary"})

OpenBytes = Callable[[int, int], AsyncIterator[bytes]]


class StoredFileResponse(Response):
    """`size` bytes named by `etag`, read through ``open(start, stop)`` (half-open) when they are needed.

    When ``open`` returns an async generator it is closed as the answer ends, also when the client goes away in between.
    Its first bytes are awaited before the status goes out, so what it raises until then becomes an ordinary problem.
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
        """Raises PreconditionFailed and RangeNotSatisfiable, before anything is sent."""
        asked = Headers(scope=scope)
        require_match(asked, self._etag)
        if is_unchanged(asked, self._etag):
            await self._send_head(send, 304, [pair for pair in self.raw_headers if pair[0] in _OF_304])
            return
        wanted = None
        if scope["method"] == "GET" and "range" in asked and allows_range(asked, self._etag):
            wanted = parse_range(asked["range"], self._size)
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
        gone = None
        try:
            chunk = await anext(chunks, b"")
            await send({"type": "http.response.start", "status": status, "headers": self.raw_headers})
            # The server swallows what is sent to a client that is gone; only `receive` tells. Without it the rest of a
            # large file would still be fetched from the store, for nobody.
            gone = asyncio.create_task(_disconnected(receive))
            while chunk and not gone.done():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                # Neither sending nor reading what is buffered gives way to other tasks, `gone` among them.
                await asyncio.sleep(0)
                chunk = await anext(chunks, b"")
            if not gone.done():
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            if gone is not None:
                gone.cancel()
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
