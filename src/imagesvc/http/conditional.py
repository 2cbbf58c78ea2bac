"""Entity tags and the conditions that clients set with them (RFC 9110, sections 8.8.3 and 13).

A header that cannot be read is taken as a tag that matches nothing: the safe side for every condition here.
"""

import re
from collections.abc import Mapping

from imagesvc.errors import PreconditionFailed

_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_LIST = re.compile(rf"[ \t,]*{_TAG.pattern}(?:[ \t]*,[ \t,]*{_TAG.pattern})*[ \t,]*")


def strong_etag(value: str) -> str:
    """The tag of exactly these bytes."""
    return f'"{value}"'


def weak_etag(value: str) -> str:
    """The tag of this state, whatever bytes it is written in."""
    return f'W/"{value}"'


def parse_etags(header: str) -> frozenset[str]:
    """The tags of a list, as written; ``*`` stands for itself. Empty when the list is malformed."""
    if header.strip() == "*":
        return frozenset("*")
    return frozenset(_TAG.findall(header)) if _LIST.fullmatch(header) else frozenset()


def matches_weakly(header: str, etag: str) -> bool:
    """``If-None-Match``: the same state, strong or weak."""
    tags = parse_etags(header)
    return "*" in tags or etag.removeprefix("W/") in {tag.removeprefix("W/") for tag in tags}


def matches_strongly(header: str, etag: str) -> bool:
    """``If-Match``: the same bytes; a weak tag on either side never is."""
    tags = parse_etags(header)
    return "*" in tags or (not etag.startswith("W/") and etag in tags)


def require_match(headers: Mapping[str, str], etag: str) -> None:
    """Raises PreconditionFailed when the request has an ``If-Match`` and it does not name `etag`.

    For a change, `etag` is the strong tag of the row that the statement will change.
    """
    header = headers.get("if-match")
    if header is not None and not matches_strongly(header, etag):
        raise PreconditionFailed("Read it again, then decide again.", headers={"ETag": etag})


def is_unchanged(headers: Mapping[str, str], etag: str) -> bool:
    """Whether a GET or HEAD with these headers is answered 304."""
    header = headers.get("if-none-match")
    return header is not None and matches_weakly(header, etag)


def allows_range(headers: Mapping[str, str], etag: str) -> bool:
    """``If-Range``: whether the part that is asked for belongs to the bytes that `etag` names.

    A date never does: we give out no ``Last-Modified``.
    """
    header = headers.get("if-range")
    return header is None or (not etag.startswith("W/") and header.strip() == etag)
