"""A line that can be bad: passes requests on to the service, and counts, cuts, holds or refuses them when told to."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CHUNK_BYTES = 64 * 1024


@dataclass(kw_only=True)
class Passed:
    """A request as it came. ``status`` is what it was answered; ``body_bytes`` is how much of it went on."""

    method: str
    path: str
    headers: dict[str, str]
    began_at: float
    ended_at: float | None = None
    status: int | None = None
    body_bytes: int = 0

    @property
    def is_upload(self) -> bool:
        return self.method in ("POST", "PATCH") and not self.path.endswith("/check") and "auth" not in self.path


@dataclass(kw_only=True)
class Line:
    """``hold`` is told how many uploads went before one, and whether that one waits for ever; ``refuse`` has answers in
    the service's place; ``cut_after`` so many bytes of a body, or instead of an answer (``cut_answer``), once."""

    url: str = ""
    requests: list[Passed] = field(default_factory=list)
    hold: Callable[[int], bool] = lambda _uploads: False
    held: asyncio.Event = field(default_factory=asyncio.Event)
    refuse: list[bytes] = field(default_factory=list)
    cut_after: int | None = None
    cut_answer: bool = False
    is_away: bool = False
    is_away_after_cut: bool = False
    turned_away: int = 0
    _service: tuple[str, int] = ("", 0)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def uploads(self) -> list[Passed]:
        return [request for request in self.requests if request.is_upload]

    def end(self) -> None:
        self._over.set()
        self.hang_up()

    def hang_up(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_away:
            self.turned_away += 1
            writer.transport.abort()
            return
        self._open.add(writer)
        to_service, from_service = None, None
        try:
            from_service, to_service = await asyncio.open_connection(*self._service)
            while await self._pass_one(reader, writer, from_service, to_service):
                pass
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            for end in (writer, to_service):
                if end is not None:
                    end.transport.abort()
            self._open.discard(writer)

    async def _pass_one(
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
        if request.is_upload and self.refuse:
            await reader.readexactly(left)
            answer = self.refuse.pop(0)
            request.status = int(answer.split()[1])
            writer.write(answer)
            request.ended_at = time.monotonic()
            return True
        if request.is_upload and self.hold(uploads):
            self.held.set()
            await self._over.wait()
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


def _request(head: bytes) -> Passed:
    method, path, _ = head.decode("latin-1").split(" ", 2)
    return Passed(method=method, path=path, headers=_headers(head), began_at=time.monotonic())


def _headers(head: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:] if line)
    return {name.lower(): value.strip() for name, _, value in lines}


@contextlib.asynccontextmanager
async def line_to(service_url: str) -> AsyncIterator[Line]:
    where = urlsplit(service_url)
    line = Line(_service=(where.hostname or "", where.port or 80))
    server = await asyncio.start_server(line.take, "127.0.0.1", 0)
    line.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield line
    finally:
        server.close()
        line.end()


def busy(*, seconds: int) -> bytes:
    """The service asks to come again later."""
    body = b'{"type": "/problems/no-room", "title": "Too many uploads are under way", "status": 503}'
    return (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
        b"Retry-After: %d\r\nContent-Length: %d\r\n\r\n" % (seconds, len(body))
    ) + body
