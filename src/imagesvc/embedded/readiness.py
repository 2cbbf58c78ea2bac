"""Checks over HTTP whether a local server is ready. It uses a plain socket: the supervisor loads no HTTP library."""

import asyncio
import contextlib

TIMEOUT_SECONDS = 3.0
# the address to connect to when a server listens on all addresses
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


async def answers_ok(host: str, port: int, path: str) -> bool:
    """Whether GET ``path`` returns 200 within 3 seconds."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection(ANY_ADDRESS.get(host, host), port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    return False
