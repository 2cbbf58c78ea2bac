"""Entity tags and conditional requests (RFC 9110, sections 8.8.3 and 13).

A malformed header counts as a tag that matches nothing, which is the safe choice for every condition here.
"""

import re
from collections.abc import Mapping

from imagesvc.errors import PreconditionFailed

_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_LIST = re.compile(rf"[ \t,]*{_TAG.pattern}(?:[ \t]*,[ \t,]*{_TAG.pattern})*[ \t,]*")


def strong_etag(value: str) -> str:
    """A tag that identifies the exact bytes."""
    return f'"{value}"'


def weak_etag(value: str) -> str:
    """A tag that identifies a state, independently of how it is serialized."""
    return f'W/"{value}"'


def parse_etags(header: str) -> frozenset[str]:
    """The tags of a list as written, or ``*``. Empty if the list is malformed."""
    if header.strip() == "*":
        return frozenset("*")
    return frozenset(_TAG.findall(header)) if _LIST.fullmatch(header) else frozenset()


def matches_weakly(header: str, etag: str) -> bool:
    """Weak comparison, as ``If-None-Match`` requires."""
    tags = parse_etags(header)
    return "*" in tags or etag.removeprefix("W/") in {tag.removeprefix("W/") for tag in tags}


def matches_strongly(header: str, etag: str) -> bool:
    """Strong comparison, as ``If-Match`` requires: a weak tag on either side never matches."""
    tags = parse_etags(header)
    return "*" in tags or (not etag.startswith("W/") and etag in tags)


def require_match(headers: Mapping[str, str], etag: str) -> None:
    """Raises PreconditionFailed if the request has an ``If-Match`` that does not contain ``etag``.

    For a modification, ``etag`` is the strong tag of the row that the statement will change.
    """
    header = headers.get("if-match")
    if header is not None and not matches_strongly(header, etag):
        raise PreconditionFailed(
            "The resource has changed. Read it again and repeat the request with its new ETag.", headers={"ETag": etag}
        )


def is_unchanged(headers: Mapping[str, str], etag: str) -> bool:
    """Whether a GET or HEAD request with these headers gets 304."""
    header = headers.get("if-none-match")
    return header is not None and matches_weakly(header, etag)


def allows_range(headers: Mapping[str, str], etag: str) -> bool:
    """Whether ``If-Range`` allows a partial answer for the bytes that ``etag`` identifies.

    A date never matches, because no answer has a ``Last-Modified``.
    """
    header = headers.get("if-range")
    return header is None or (not etag.startswith("W/") and header.strip() == etag)
