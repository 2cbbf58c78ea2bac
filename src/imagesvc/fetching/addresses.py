"""Which addresses may be reached: public ones, and what the operator has allowed; never our own servers."""

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
"""Takes a host and a port, gives addresses as text. Raises OSError."""

_NOT_PUBLIC = [
    # https://www.iana.org/assignments/iana-ipv4-special-registry and its IPv6 twin, written out: what
    # ``ipaddress.is_global`` knows differs between releases of Python
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's metadata and agents: a public address that is none
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
        "2001::/23",  # Teredo among them, which carries an IPv4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4, likewise
        "3fff::/20",
    )
]
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""Nothing else of IPv6 is public: not mapped or NAT64-embedded IPv4, unique local, link-local or site-local ones."""
_ISATAP = {0x00005EFE, 0x02005EFE}
"""The upper half of an interface identifier whose lower half is an IPv4 address (RFC 5214)."""


def is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        is_isatap = (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
        if address not in _GLOBAL_UNICAST or is_isatap or address.scope_id:
            return False
    return address.is_global and not any(address in network for network in _NOT_PUBLIC)


_ENTRY = re.compile(r"(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<host>[a-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """One entry of ``IMAGESVC_FETCH_ALLOW``: a network, an address or a name, the last two with or without a port."""

    network: Network | None
    name: str | None
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError, naming the entry."""
        text = text.strip().lower()
        with contextlib.suppress(ValueError):
            return cls(network=ipaddress.ip_network(text), name=None, port=None)
        found = _ENTRY.fullmatch(text)
        if found is None or int(found["port"] or 1) not in range(1, 65536):
            raise ValueError(f"IMAGESVC_FETCH_ALLOW: {text!r} is neither a network nor host[:port]")
        host, port = found["six"] or found["host"], int(found["port"]) if found["port"] else None
        try:
            return cls(network=ipaddress.ip_network(host), name=None, port=port)
        except ValueError:
            if found["six"] or host.replace(".", "").isdigit():
                raise ValueError(f"IMAGESVC_FETCH_ALLOW: {text!r} is no address") from None
            return cls(network=None, name=host, port=port)

    def covers(self, host: str, address: Address, port: int) -> bool:
        if self.port not in (None, port):
            return False
        return address in self.network if self.network is not None else host == self.name


class OwnServers:
    """Database, queue, object store and our own listening address: a stranger's URL never leads there.

    By name and port always; by address for what is not public, since a public address everybody reaches anyway, and
    those of large object stores are shared by their customers.
    """

    def __init__(self, settings: Settings, resolve: Resolve) -> None:
        self._servers = frozenset(own_servers(settings))
        self._resolve = resolve

    async def include(self, host: str, address: Address, port: int) -> bool:
        if (host, port) in self._servers:
            return True
        if is_public(address):
            return False
        for own_host, own_port in self._servers:
            if own_port == port and await self._leads_to(own_host, address, port):
                return True
        return False

    async def _leads_to(self, host: str, address: Address, port: int) -> bool:
        try:
            own = [ipaddress.ip_address(host)]
        except ValueError:
            try:
                own = [ipaddress.ip_address(found) for found in await self._resolve(host, port)]
            except OSError:
                return False
        # whoever listens everywhere listens on each address of this machine
        return address in own or (own[0].is_unspecified and await asyncio.to_thread(is_of_this_machine, address))


def own_servers(settings: Settings) -> Iterable[tuple[str, int]]:
    """(host, port) of each server that is reached by TCP."""
    database = urlsplit(settings.database_url.get_secret_value())
    named = database.netloc.rpartition("@")[2].split(",") + ",".join(parse_qs(database.query).get("host", [])).split(
        ","
    )
    for item in named:
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
    """The kernel knows: only an address of one's own can be bound."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
