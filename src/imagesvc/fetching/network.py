"""Connect to where a URL leads: the name is resolved once, and the connection made to an address that was judged.

It stands below the HTTP library, which keeps the name for TLS and the Host header and knows nothing of addresses: there
is no second look-up that could say something else (DNS rebinding).
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Iterable, Sequence

import httpcore
from httpcore import SOCKET_OPTION, AsyncNetworkBackend, AsyncNetworkStream

from imagesvc.fetching.addresses import Address, Allowed, OwnServers, Resolve, is_public
from imagesvc.fetching.errors import FetchFailed, FetchRefused

MOST_ADDRESSES = 4
"""Of one name that are tried, one after the other."""


async def resolve_name(host: str, port: int) -> list[str]:
    """What the system says, in its order of preference."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedNetwork(AsyncNetworkBackend):
    """For httpcore's pool: every connection of it is made here."""

    def __init__(self, allowed: Sequence[Allowed], own: OwnServers, resolve: Resolve) -> None:
        self._allowed, self._own, self._resolve = allowed, own, resolve
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        """Raises FetchRefused, FetchFailed and httpcore's ConnectError and ConnectTimeout."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await self.addresses(host, port)
                last: Exception | None = None
                for address in addresses[:MOST_ADDRESSES]:
                    try:
                        return await self._plain.connect_tcp(str(address), port)
                    except httpcore.ConnectError as error:
                        last = error
                assert last is not None  # noqa: S101 - there is one address at least, and it was tried
                raise last
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[SOCKET_OPTION] | None = None
    ) -> AsyncNetworkStream:
        raise FetchRefused

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def addresses(self, host: str, port: int) -> list[Address]:
        """Those that may be reached. A name that is not there and one that leads inside are answered alike."""
        try:
            found = await self._resolve(host, port)
        except socket.gaierror as error:
            if error.errno in (socket.EAI_AGAIN, socket.EAI_SYSTEM, socket.EAI_MEMORY):
                raise FetchFailed("not-reachable", retryable=True) from error
            raise FetchRefused("address-refused") from error
        except (OSError, UnicodeError) as error:
            raise FetchFailed("not-reachable", retryable=True) from error
        usable = []
        for text in found:
            with contextlib.suppress(ValueError):
                address = ipaddress.ip_address(text)
                if await self._may_reach(host, address, port):
                    usable.append(address)
        if not usable:
            raise FetchRefused("address-refused")
        return usable

    async def _may_reach(self, host: str, address: Address, port: int) -> bool:
        is_allowed = is_public(address) or any(entry.covers(host, address, port) for entry in self._allowed)
        return is_allowed and not await self._own.include(host, address, port)
