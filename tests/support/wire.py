"""Builds and sends HTTP requests byte by byte: malformed multipart bodies and broken connections."""

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
    """One multipart part with exactly these header lines."""
    return b"--b\r\n" + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body + b"\r\n"


def file_part(body: bytes, filename: bytes = b"a.jpg") -> bytes:
    """A part with a file."""
    return part(body, b'Content-Disposition: form-data; name="file"; filename="' + filename + b'"')


def field_part(name: str, value: bytes) -> bytes:
    """A part with a form field."""
    return part(value, f'Content-Disposition: form-data; name="{name}"'.encode())


def form(*parts: bytes) -> bytes:
    """A complete multipart body."""
    return b"".join(parts) + END


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """A client connection that can stop at any byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, data: bytes) -> None:
        """Send these bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def begin(self, method: str, path: str, *header_lines: str) -> None:
        """Send the request head with exactly these header lines; they must include the length of a body."""
        lines = (f"{method} {path} HTTP/1.1", "Host: service", *header_lines, "", "")
        await self.send("\r\n".join(lines).encode("latin-1"))

    async def answer(self) -> Answer:
        """The next response; it must have a Content-Length."""
        async with asyncio.timeout(30):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            pairs = (line.partition(":") for line in head[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await self._reader.readexactly(int(headers["content-length"]))
        return Answer(status=int(head[0].split()[1]), headers=headers, body=body)

    async def continued(self) -> None:
        """Wait for `100 Continue`: the service has accepted the request head."""
        async with asyncio.timeout(30):
            assert await self._reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"

    async def last_answer(self) -> bytes:
        """All data until the server closes the connection."""
        async with asyncio.timeout(30):
            return await self._reader.read()

    def hang_up(self) -> None:
        """Reset the connection immediately; unsent and unread data is lost."""
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """Opens a connection to the host of the URL."""
    target = urlsplit(url)
    reader, writer = await asyncio.open_connection(target.hostname, target.port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
