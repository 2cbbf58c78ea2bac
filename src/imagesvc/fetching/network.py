"""Opens outbound connections: resolves a name once, and connects to an address that passed the check.

This is the network backend of the HTTP library. The library keeps the name for TLS and the Host header and never
resolves it, so no second lookup can return another address (DNS rebinding).
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Iterable, Sequence

import httpcore
from httpcore import SOCKET_OPTION, AsyncNetworkBackend, AsyncNetworkStream

from imagesvc.fetching.addresses import Address, AllowedTarget, OwnServers, Resolve, is_public
from imagesvc.fetching.errors import FetchFailed, FetchRefused

MAX_ADDRESSES = 4
"""How many addresses of one name are tried, one after the other."""


async def resolve_name(host: str, port: int) -> list[str]:
    """The addresses that the system resolver returns, in its order. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedNetwork(AsyncNetworkBackend):
    """The network backend of the httpcore connection pool. It opens every connection of the pool."""

    def __init__(self, allowed: Sequence[AllowedTarget], own: OwnServers, resolve: Resolve) -> None:
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
        """Connect to the first address that accepts.

        Raises FetchRefused, FetchFailed, and httpcore's ConnectError and ConnectTimeout.
        """
        try:
            async with asyncio.timeout(timeout):
                addresses = await self.addresses(host, port)
                last: Exception | None = None
                for address in addresses[:MAX_ADDRESSES]:
                    try:
                        return await self._plain.connect_tcp(str(address), port)
                    except httpcore.ConnectError as error:
                        last = error
                assert last is not None  # noqa: S101 - ``addresses`` returns at least one address
                raise last
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[SOCKET_OPTION] | None = None
    ) -> AsyncNetworkStream:
        """Raises FetchRefused: a URL never leads to a Unix socket."""
        raise FetchRefused

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def addresses(self, host: str, port: int) -> list[Address]:
        """The addresses of ``host`` that may be reached.

        Raises FetchRefused when there are none: an unknown name and an internal address get the same answer.
        Raises FetchFailed when the resolver fails temporarily.
        """
        try:
            resolved = await self._resolve(host, port)
        except socket.gaierror as error:
            if error.errno in (socket.EAI_AGAIN, socket.EAI_SYSTEM, socket.EAI_MEMORY):
                raise FetchFailed("not-reachable", retryable=True) from error
            raise FetchRefused("address-refused") from error
        except (OSError, UnicodeError) as error:
            raise FetchFailed("not-reachable", retryable=True) from error
        usable = []
        for text in resolved:
            with contextlib.suppress(ValueError):
                address = ipaddress.ip_address(text)
                if await self._may_reach(host, address, port):
                    usable.append(address)
        if not usable:
            raise FetchRefused("address-refused")
        return usable

    async def _may_reach(self, host: str, address: Address, port: int) -> bool:
        is_allowed = is_public(address) or any(entry.covers(host, address, port) for entry in self._allowed)
        return is_allowed and not await self._own.contains(host, address, port)
