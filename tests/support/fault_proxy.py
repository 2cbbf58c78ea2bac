"""A TCP proxy that injects faults in front of a server: it delays, cuts, refuses, stalls, or sends its own response.

Settings apply to open connections and to new ones.
"""

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Self

CHUNK_BYTES = 64 * 1024
Target = tuple[str, int] | str
"""A host and a port, or the path of a Unix socket."""


class FaultProxy:
    """``async with`` listens on a loopback port, without faults at first.

    ``delay_seconds`` delays each chunk. ``instead`` is sent to clients in place of the response of the server.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[ConnectionPair] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self.remove_faults()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()
        self.remove_faults()
        self.reset_all()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def remove_faults(self) -> None:
        """Remove all faults."""
        self.delay_seconds = 0.0
        self.bytes_until_cut: int | None = None
        self.instead: bytes | None = None
        self._refuses_connections = False
        self._dropped_pattern: re.Pattern[bytes] | None = None
        self.dropped_responses = 0
        self.recorded: bytearray | None = None
        self._flows.set()

    def refuse_connections(self) -> None:
        """Reset all connections, and new ones immediately, as during a restart of the server."""
        self._refuses_connections = True
        self.reset_all()

    def stall(self) -> None:
        """Stop forwarding data while connections stay open."""
        self._flows.clear()

    def cut_after(self, size: int) -> None:
        """Behave like ``refuse_connections`` after clients have sent ``size`` more bytes."""
        self.bytes_until_cut = size

    def drop_responses_to(self, pattern: bytes) -> None:
        """Forward client data; when it matches ``pattern``, reset the connection instead of returning the response."""
        self._dropped_pattern = re.compile(pattern)

    def record(self) -> None:
        """Keep all further data of clients in ``recorded``."""
        self.recorded = bytearray()

    def reset_all(self) -> None:
        """Reset all open connections."""
        for pair in list(self._open):
            pair.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        pair = ConnectionPair(reader, writer)
        self._open.add(pair)
        try:
            if self._refuses_connections:
                return
            if isinstance(self._target, str):
                from_server, to_server = await asyncio.open_unix_connection(self._target)
            else:
                from_server, to_server = await asyncio.open_connection(*self._target)
            pair.add(to_server)
            directions = (
                asyncio.create_task(self._forward(reader, to_server, lambda chunk: self._sent(chunk, pair))),
                asyncio.create_task(self._forward(from_server, writer, lambda chunk: self._answered(chunk, pair))),
            )
            try:
                await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for direction in directions:
                    direction.cancel()
                await asyncio.gather(*directions, return_exceptions=True)
        finally:
            pair.reset()
            self._open.discard(pair)
            self._serving.discard(task)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, inspect: Callable[[bytes], Awaitable[bool]]
    ) -> None:
        """Forward data until ``inspect`` returns false or a side closes the connection."""
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                await self._flows.wait()
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                if not await inspect(chunk):
                    return
                writer.write(chunk)
                await writer.drain()

    async def _sent(self, chunk: bytes, pair: "ConnectionPair") -> bool:
        if self.recorded is not None:
            self.recorded += chunk
        if self._dropped_pattern is not None and self._dropped_pattern.search(chunk):
            pair.is_unanswered = True
        if self.instead is not None:
            await pair.answer(self.instead)
            return False
        if self.bytes_until_cut is not None:
            self.bytes_until_cut -= len(chunk)
            if self.bytes_until_cut < 0:
                self.refuse_connections()
                return False
        return True

    async def _answered(self, chunk: bytes, pair: "ConnectionPair") -> bool:
        if pair.is_unanswered and not chunk.startswith(b"HTTP/1.1 100"):
            self.dropped_responses += 1
            return False
        return True


class ConnectionPair:
    """The connection of a client and the matching connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self._reader, self._client = reader, client
        self.is_unanswered = False
        self._writers = [client]

    async def answer(self, data: bytes) -> None:
        """Send ``data``, then read until the client closes: a reset could overtake the response."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                self._client.write(data)
                await self._client.drain()
                while await self._reader.read(CHUNK_BYTES):
                    pass

    def add(self, writer: asyncio.StreamWriter) -> None:
        """Add the connection to the server."""
        self._writers.append(writer)

    def reset(self) -> None:
        """Drop both connections immediately; the client sees a TCP reset."""
        for writer in self._writers:
            sock: socket.socket | None = writer.get_extra_info("socket")
            if sock is not None and sock.family == socket.AF_INET and not writer.is_closing():
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


def http_error(status: int, code: str) -> bytes:
    """The error response of an S3 server."""
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
    head = (
        f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\nConnection: close"
    )
    return f"{head}\r\n\r\n{body}".encode()
