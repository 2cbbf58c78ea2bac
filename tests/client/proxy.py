"""A proxy in front of the service that counts requests and can cut, hold or refuse them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CHUNK_BYTES = 64 * 1024


@dataclass(kw_only=True)
class ProxiedRequest:
    """``status`` is that of the answer; ``body_bytes`` is how much of the body was passed on."""

    method: str
    path: str
    headers: dict[str, str]
    started_at: float
    ended_at: float | None = None
    status: int | None = None
    body_bytes: int = 0

    @property
    def is_upload(self) -> bool:
        return self.method in ("POST", "PATCH") and not self.path.endswith("/check") and "auth" not in self.path


@dataclass(kw_only=True)
class FaultyProxy:
    """Faults are set as attributes while it runs.

    ``hold`` receives the number of earlier uploads and returns whether this one waits for ever, which sets ``held``.
    ``refusals`` are answers to the next uploads, which the service does not see. ``cut_after`` closes one connection
    after so many bytes of a body; ``cut_answer`` closes one in place of an answer. While ``is_away``, connections are
    refused and counted.
    """

    url: str = ""
    requests: list[ProxiedRequest] = field(default_factory=list)
    hold: Callable[[int], bool] = lambda _uploads: False
    held: asyncio.Event = field(default_factory=asyncio.Event)
    refusals: list[bytes] = field(default_factory=list)
    cut_after: int | None = None
    cut_answer: bool = False
    is_away: bool = False
    is_away_after_cut: bool = False
    refused_connections: int = 0
    _service: tuple[str, int] = ("", 0)
    _connections: set[asyncio.StreamWriter] = field(default_factory=set)
    _closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def uploads(self) -> list[ProxiedRequest]:
        return [request for request in self.requests if request.is_upload]

    def close(self) -> None:
        self._closed.set()
        self.close_connections()

    def close_connections(self) -> None:
        for writer in self._connections:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_away:
            self.refused_connections += 1
            writer.transport.abort()
            return
        self._connections.add(writer)
        to_service, from_service = None, None
        try:
            from_service, to_service = await asyncio.open_connection(*self._service)
            while await self._pass_request(reader, writer, from_service, to_service):
                pass
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            for end in (writer, to_service):
                if end is not None:
                    end.transport.abort()
            self._connections.discard(writer)

    async def _pass_request(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        from_service: asyncio.StreamReader,
        to_service: asyncio.StreamWriter,
    ) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        request = _request(head)
        uploads = len(self.uploads)
        self.requests.append(request)
        left = int(request.headers.get("content-length", 0))
        if request.is_upload and self.refusals:
            await reader.readexactly(left)
            answer = self.refusals.pop(0)
            request.status = int(answer.split()[1])
            writer.write(answer)
            request.ended_at = time.monotonic()
            return True
        if request.is_upload and self.hold(uploads):
            self.held.set()
            await self._closed.wait()
            return False
        to_service.write(head)
        while left:
            chunk = await reader.read(min(left, CHUNK_BYTES))
            if not chunk:
                return False
            to_service.write(chunk)
            await to_service.drain()
            left -= len(chunk)
            request.body_bytes += len(chunk)
            if self.cut_after is not None and request.body_bytes > self.cut_after:
                self.cut_after, self.is_away = None, self.is_away_after_cut
                return False
        answer = await from_service.readuntil(b"\r\n\r\n")
        length = int(_headers(answer).get("content-length", 0)) if request.method != "HEAD" else 0
        answer += await from_service.readexactly(length)
        if request.is_upload and self.cut_answer:
            self.cut_answer = False
            return False
        request.status, request.ended_at = int(answer.split()[1]), time.monotonic()
        writer.write(answer)
        return b"connection: close" not in answer.lower()


def _request(head: bytes) -> ProxiedRequest:
    method, path, _ = head.decode("latin-1").split(" ", 2)
    return ProxiedRequest(method=method, path=path, headers=_headers(head), started_at=time.monotonic())


def _headers(head: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:] if line)
    return {name.lower(): value.strip() for name, _, value in lines}


@contextlib.asynccontextmanager
async def faulty_proxy(service_url: str) -> AsyncIterator[FaultyProxy]:
    address = urlsplit(service_url)
    proxy = FaultyProxy(_service=(address.hostname or "", address.port or 80))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        proxy.close()


def busy(*, seconds: int) -> bytes:
    """A 503 answer with Retry-After."""
    body = b'{"type": "/problems/no-room", "title": "Too many uploads are under way", "status": 503}'
    return (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
        b"Retry-After: %d\r\nContent-Length: %d\r\n\r\n" % (seconds, len(body))
    ) + body
