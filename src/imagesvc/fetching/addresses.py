"""Which addresses may be reached: public ones and those that the operator allows, never our own servers."""

import asyncio
import contextlib
import dataclasses
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Self
from urllib.parse import parse_qs, urlsplit

from imagesvc.settings import Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Takes a host and a port and returns addresses as text. Raises OSError."""

_NOT_PUBLIC = [
    # https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry, copied here because
    # ``ipaddress.is_global`` differs between Python releases
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's platform services (metadata, agents): in a public range, but internal
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # includes Teredo, which embeds an IPv4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4 embeds an IPv4 address
        "3fff::/20",
    )
]
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""No other IPv6 address is public: mapped and NAT64 IPv4, unique local, link-local and site-local ones are outside."""
_ISATAP = {0x00005EFE, 0x02005EFE}
"""The upper half of an ISATAP interface identifier; its lower half is an IPv4 address (RFC 5214)."""


def is_public(address: Address) -> bool:
    """Whether the address is globally reachable and embeds no other address."""
    if isinstance(address, ipaddress.IPv6Address):
        is_isatap = (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
        if address not in _GLOBAL_UNICAST or is_isatap or address.scope_id:
            return False
    return address.is_global and not any(address in network for network in _NOT_PUBLIC)


_ENTRY = re.compile(r"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<host>[a-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AllowedTarget:
    """One entry of ``IMAGESVC_FETCH_ALLOW``: a network, or an address or name with an optional port."""

    network: Network | None
    name: str | None
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError; the text contains the entry."""
        text = text.strip().lower()
        with contextlib.suppress(ValueError):
            return cls(network=ipaddress.ip_network(text), name=None, port=None)
        match = _ENTRY.fullmatch(text)
        if match is None or int(match["port"] or 1) not in range(1, 65536):
            raise ValueError(f"IMAGESVC_FETCH_ALLOW: {text!r} is neither a network nor host[:port]")
        host, port = match["ipv6"] or match["host"], int(match["port"]) if match["port"] else None
        try:
            return cls(network=ipaddress.ip_network(host), name=None, port=port)
        except ValueError:
            if match["ipv6"] or host.replace(".", "").isdigit():
                raise ValueError(f"IMAGESVC_FETCH_ALLOW: {text!r} is not an address") from None
            return cls(network=None, name=host, port=port)

    def covers(self, host: str, address: Address, port: int) -> bool:
        """Whether this entry allows a connection to ``address``, which ``host`` resolves to."""
        if self.port not in (None, port):
            return False
        return address in self.network if self.network is not None else host == self.name


class OwnServers:
    """Database, queue, object store and our own listening address, which a fetched URL must never reach.

    Name and port are always compared. Addresses are compared only when they are not public: everybody can reach a
    public address anyway, and the customers of a large object store share its addresses.
    """

    def __init__(self, settings: Settings, resolve: Resolve) -> None:
        self._servers = frozenset(own_servers(settings))
        self._resolve = resolve

    async def contains(self, host: str, address: Address, port: int) -> bool:
        """Whether ``address``, which ``host`` resolves to, is one of our servers at this port."""
        if (host, port) in self._servers:
            return True
        if is_public(address):
            return False
        for own_host, own_port in self._servers:
            if own_port == port and await self._resolves_to(own_host, address, port):
                return True
        return False

    async def _resolves_to(self, host: str, address: Address, port: int) -> bool:
        try:
            own = [ipaddress.ip_address(host)]
        except ValueError:
            try:
                own = [ipaddress.ip_address(text) for text in await self._resolve(host, port)]
            except OSError:
                return False
        # a server that listens on all addresses listens on each address of this machine
        return address in own or (own[0].is_unspecified and await asyncio.to_thread(is_of_this_machine, address))


def own_servers(settings: Settings) -> Iterable[tuple[str, int]]:
    """(host, port) of each server that is reached over TCP."""
    database = urlsplit(settings.database_url.get_secret_value())
    # libpq allows several hosts, in the authority and in the parameter ``host``
    hosts = [database.netloc.rpartition("@")[2], *parse_qs(database.query).get("host", [])]
    for item in ",".join(hosts).split(","):
        parts = urlsplit(f"//{item}")
        if parts.hostname:
            yield parts.hostname, parts.port or 5432
    redis = urlsplit(settings.redis_url.get_secret_value())
    if redis.hostname:
        yield redis.hostname, redis.port or 6379
    store = urlsplit(settings.s3_endpoint)
    if store.hostname:
        yield store.hostname, store.port or (443 if store.scheme == "https" else 80)
    yield settings.host, settings.port


def is_of_this_machine(address: Address) -> bool:
    """Whether the address belongs to this machine: only then the kernel allows to bind it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
