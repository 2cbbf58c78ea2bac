"""What a URL may look like, before any name is resolved; and how it is shown in logs."""

import dataclasses
import ipaddress
import re

import httpx

from imagesvc.fetching.errors import FetchRefused

MAX_URL_LENGTH = 4096
"""Of characters: signed URLs of object stores have some 2 000 at the most."""

DEFAULT_PORT = {"http": 80, "https": 443}
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label like this makes resolvers read the whole host as an address: 2130706433, 0x7f.1, 0177.0.0.1."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One URL that may be asked for as far as its looks go. ``host`` is lower-case ASCII, without brackets."""

    scheme: str
    host: str
    port: int
    path: bytes
    """with its query"""
    url: httpx.URL

    def follow(self, location: str) -> "Target":
        """Where a redirect leads, judged like a first URL. Raises FetchRefused."""
        _require_plain(location)
        try:
            return _target(self.url.join(location))
        except httpx.InvalidURL as error:
            raise FetchRefused from error


def parse_url(url: str) -> Target:
    """Raises FetchRefused unless it is http or https to a host spelled as it should be, without credentials."""
    _require_plain(url)
    try:
        return _target(httpx.URL(url))
    except httpx.InvalidURL as error:
        raise FetchRefused from error


def without_query(url: str) -> str:
    """The URL as logs may show it: queries carry signatures and tokens."""
    head, mark, _ = url.partition("?")
    head = head.partition("#")[0]
    scheme, slashes, rest = head.partition("://")
    authority, slash, path = rest.partition("/")
    shown = f"{scheme}{slashes}{authority.rpartition('@')[2]}{slash}{path}"
    return f"{shown}?…" if mark else shown


def _require_plain(url: str) -> None:
    """Nothing that one parser drops and another one keeps: blanks, control characters, backslashes, lone surrogates."""
    if len(url) > MAX_URL_LENGTH or "\\" in url or any(ord(c) <= 0x20 or 0x7F <= ord(c) < 0xA0 for c in url):
        raise FetchRefused
    try:
        url.encode()
    except UnicodeEncodeError as error:
        raise FetchRefused from error


def _target(url: httpx.URL) -> Target:
    if url.scheme not in DEFAULT_PORT or url.userinfo or url.port == 0:
        raise FetchRefused
    host = url.raw_host.decode("ascii").lower()
    if not (_is_address(host) or (_NAME.fullmatch(host) and not _is_disguised_address(host))):
        raise FetchRefused
    port = url.port or DEFAULT_PORT[url.scheme]
    return Target(scheme=url.scheme, host=host, port=port, path=url.raw_path, url=url)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host  # a zone of our own machine is nobody's business


def _is_disguised_address(host: str) -> bool:
    return _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]) is not None
