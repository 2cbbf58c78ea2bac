"""Asks an HTTP server of ours whether it is ready, with nothing but a socket: the supervisor loads no HTTP library."""

import asyncio
import contextlib

ANSWER_SECONDS = 3.0
# where to knock when a server listens everywhere
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


async def answers_ok(host: str, port: int, path: str) -> bool:
    """Whether GET ``path`` is answered 200."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(ANY_ADDRESS.get(host, host), port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    return False
