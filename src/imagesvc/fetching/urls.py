"""Validates URLs before any name is resolved, and formats them for logs."""

import dataclasses
import ipaddress
import re

import httpx

from imagesvc.fetching.errors import FetchRefused

MAX_URL_LENGTH = 4096
"""In characters. Signed URLs of object stores have up to about 2 000."""

DEFAULT_PORT = {"http": 80, "https": 443}
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""Resolvers read a host whose last label is numeric as an address: 2130706433, 0x7f.1, 0177.0.0.1."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One syntactically acceptable URL. ``host`` is lower-case ASCII without brackets; ``path`` includes the query."""

    scheme: str
    host: str
    port: int
    path: bytes
    url: httpx.URL

    def follow(self, location: str) -> "Target":
        """The target of a redirect, validated like the first URL. Raises FetchRefused."""
        _require_unambiguous(location)
        try:
            return _target(self.url.join(location))
        except httpx.InvalidURL as error:
            raise FetchRefused from error


def parse_url(url: str) -> Target:
    """Raises FetchRefused unless the URL is http or https, has a well-formed host, and contains no credentials."""
    _require_unambiguous(url)
    try:
        return _target(httpx.URL(url))
    except httpx.InvalidURL as error:
        raise FetchRefused from error


def without_query(url: str) -> str:
    """The URL for logs, without credentials, query and fragment: queries carry signatures and tokens."""
    head, mark, _ = url.partition("?")
    head = head.partition("#")[0]
    scheme, slashes, rest = head.partition("://")
    authority, slash, path = rest.partition("/")
    shown = f"{scheme}{slashes}{authority.rpartition('@')[2]}{slash}{path}"
    return f"{shown}?…" if mark else shown


def _require_unambiguous(url: str) -> None:
    """Raises FetchRefused for characters that URL parsers treat differently.

    These are blanks, control characters, backslashes and lone surrogates.
    """
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
    if not (_is_address(host) or (_HOST_NAME.fullmatch(host) and not _is_disguised_address(host))):
        raise FetchRefused
    port = url.port or DEFAULT_PORT[url.scheme]
    return Target(scheme=url.scheme, host=host, port=port, path=url.raw_path, url=url)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host  # a zone (RFC 4007) names a network interface of this machine


def _is_disguised_address(host: str) -> bool:
    return _NUMERIC_LABEL.fullmatch(host.removesuffix(".").rpartition(".")[2]) is not None
