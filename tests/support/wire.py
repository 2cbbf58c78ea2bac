"""Requests written byte by byte: multipart bodies as no well-behaved client sends them, and connections that break."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
END = b"--b--\r\n"


def part(body: bytes, *headers: bytes) -> bytes:
    """One part with exactly these header lines."""
    return b"--b\r\n" + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body + b"\r\n"


def file_part(body: bytes, filename: bytes = b"a.jpg") -> bytes:
    return part(body, b'Content-Disposition: form-data; name="file"; filename="' + filename + b'"')


def field_part(name: str, value: bytes) -> bytes:
    return part(value, f'Content-Disposition: form-data; name="{name}"'.encode())


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + END


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """A client that can stop anywhere."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def begin(self, method: str, path: str, *header_lines: str) -> None:
        """The request's head; ``header_lines`` as they go out, a length included."""
        lines = (f"{method} {path} HTTP/1.1", "Host: service", *header_lines, "", "")
        await self.send("\r\n".join(lines).encode("latin-1"))

    async def answer(self) -> Answer:
        """The next answer, which has to tell its length."""
        async with asyncio.timeout(30):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            pairs = (line.partition(":") for line in head[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await self._reader.readexactly(int(headers["content-length"]))
        return Answer(status=int(head[0].split()[1]), headers=headers, body=body)

    async def continued(self) -> None:
        """Waits until the body is asked for (`Expect: 100-continue`): the request was let in."""
        async with asyncio.timeout(30):
            assert await self._reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"

    async def last_answer(self) -> bytes:
        """Everything that comes until the server closes the connection."""
        async with asyncio.timeout(30):
            return await self._reader.read()

    def hang_up(self) -> None:
        """At once, with a reset: whatever was under way is lost."""
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
