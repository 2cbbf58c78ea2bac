"""An image server on loopback. Each path has a configurable behavior, including invalid HTTP."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

Behavior = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedRequest:
    """A received request. Header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(kw_only=True)
class ImageServer:
    """Records requests. ``connections`` counts accepted connections, with or without a request."""

    port: int
    host: str = "127.0.0.1"
    behaviors: dict[str, Behavior] = field(default_factory=dict)
    requests: list[ReceivedRequest] = field(default_factory=list)
    connections: int = 0
    concurrent: int = 0
    max_concurrent: int = 0
    open: set[asyncio.StreamWriter] = field(default_factory=set)

    def url(self, path: str = "/") -> str:
        """The URL of a path."""
        return f"http://{self.host}:{self.port}{path}"

    def serve(self, path: str, body: bytes, *, status: int = 200, **headers: str) -> str:
        """Answer with a well-formed response; returns the URL. Underscores in header names become dashes."""
        return self.behave(path, answer(body, status=status, **headers))

    def redirect(self, path: str, location: str, *, status: int = 302) -> str:
        """Answer with a redirect; returns the URL."""
        return self.serve(path, b"moved", status=status, location=location)

    def behave(self, path: str, *behaviors: Behavior) -> str:
        """Use the behaviors one after the other, one per request; the last one remains. Returns the URL."""
        remaining = list(behaviors)

        async def next_one(writer: asyncio.StreamWriter) -> None:
            await (remaining.pop(0) if len(remaining) > 1 else remaining[0])(writer)

        self.behaviors[path] = next_one
        return self.url(path)

    def times(self, path: str) -> int:
        """How many requests for the path were received."""
        return sum(request.path == path for request in self.requests)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.connections += 1
        self.open.add(writer)
        try:
            while request := await _request(reader):
                self.requests.append(request)
                self.concurrent += 1
                self.max_concurrent = max(self.max_concurrent, self.concurrent)
                try:
                    await self.behaviors.get(request.path, answer(b"not found", status=404))(writer)
                    await writer.drain()
                finally:
                    self.concurrent -= 1
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()


@contextlib.asynccontextmanager
async def image_server(host: str = "127.0.0.1") -> AsyncIterator[ImageServer]:
    """Runs an image server on a free port."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.bind((host, 0))
        running = ImageServer(port=listener.getsockname()[1], host=host)
        server = await asyncio.start_server(running.handle, sock=listener)
        try:
            yield running
        finally:
            server.close()
            for writer in running.open:
                writer.transport.abort()


def answer(body: bytes, *, status: int = 200, **headers: str) -> Behavior:
    """A response. ``content_length`` may be passed and be wrong; the connection is closed after the body then."""
    length = headers.get("content_length")
    fields = {"content_length": str(len(body)), **headers}
    lines = [f"HTTP/1.1 {status} status", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        if length is not None:
            await writer.drain()
            writer.close()

    return behave


def raw(data: bytes) -> Behavior:
    """Sends these bytes and closes the connection."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return behave


def endless(head: bytes, again: bytes, *, pause_seconds: float = 0) -> Behavior:
    """Sends ``head``, then repeats ``again`` until the client disconnects."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(pause_seconds)

    return behave


async def _request(reader: asyncio.StreamReader) -> ReceivedRequest | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return ReceivedRequest(method=method, path=path, headers=headers, body=body)
