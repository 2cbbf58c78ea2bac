"""A server of images on loopback that misbehaves when asked to: each path is told how to answer, byte by byte."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that came. Names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(kw_only=True)
class ImageServer:
    """``connections`` counts what was accepted, whether or not a request came through it."""

    port: int
    host: str = "127.0.0.1"
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    at_once: int = 0
    most_at_once: int = 0
    open: set[asyncio.StreamWriter] = field(default_factory=set)

    def url(self, path: str = "/") -> str:
        return f"http://{self.host}:{self.port}{path}"

    def serve(self, path: str, body: bytes, *, status: int = 200, **headers: str) -> str:
        """Answers like a good server. Underscores in names of headers are dashes."""
        return self.behave(path, answer(body, status=status, **headers))

    def redirect(self, path: str, location: str, *, status: int = 302) -> str:
        return self.serve(path, b"moved", status=status, location=location)

    def behave(self, path: str, *behaviours: Behaviour) -> str:
        """One after the other with each request; the last one stays."""
        left = list(behaviours)

        async def next_one(writer: asyncio.StreamWriter) -> None:
            await (left.pop(0) if len(left) > 1 else left[0])(writer)

        self.behaviours[path] = next_one
        return self.url(path)

    def times(self, path: str) -> int:
        return sum(asked.path == path for asked in self.asked)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.add(writer)
        try:
            while asked := await _request(reader):
                self.asked.append(asked)
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                try:
                    await self.behaviours.get(asked.path, answer(b"nothing here", status=404))(writer)
                    await writer.drain()
                finally:
                    self.at_once -= 1
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()


@contextlib.asynccontextmanager
async def image_server(host: str = "127.0.0.1") -> AsyncIterator[ImageServer]:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.bind((host, 0))
        running = ImageServer(port=listener.getsockname()[1], host=host)
        server = await asyncio.start_server(running.take, sock=listener)
        try:
            yield running
        finally:
            server.close()
            for writer in running.open:
                writer.transport.abort()


def answer(body: bytes, *, status: int = 200, **headers: str) -> Behaviour:
    """A ``content_length`` that is given need not be true; the connection ends then."""
    length = headers.get("content_length")
    said = {"content_length": str(len(body)), **headers}
    lines = [f"HTTP/1.1 {status} said", *(f"{name.replace('_', '-')}: {value}" for name, value in said.items())]

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        if length is not None:
            await writer.drain()
            writer.close()

    return behave


def raw(data: bytes) -> Behaviour:
    """These bytes, then the end of the connection."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return behave


def endless(head: bytes, again: bytes, *, pause_seconds: float = 0) -> Behaviour:
    """``head``, then ``again`` for ever, until the other side has gone."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(pause_seconds)

    return behave


async def _request(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method=method, path=path, headers=headers, body=body)
