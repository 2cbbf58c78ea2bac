"""Keyset pagination: ``{items, next_cursor}`` and ``Link: <…>; rel="next"``.

A cursor holds the sort values of the last row of a page. It is opaque, signed and valid for one query only: the
signature covers a fingerprint of the filters, the order and the caller. A cursor therefore cannot be forged, or used
with another query to show what that query excludes.
"""

import base64
import binascii
import dataclasses
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Generic, TypeVar
from urllib.parse import quote, urlencode
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, Field

from imagesvc.errors import Malformed
from imagesvc.http.public_path import public_path, route_path
from imagesvc.http.web_parts import part
from imagesvc.keyring import KeyRing

MAX_CURSOR_CHARS = 2_000
_MAC_BYTES = 16

Value = str | int | float | datetime | UUID | None

T = TypeVar("T")
Row = TypeVar("Row")
Item = TypeVar("Item")
Key = TypeVar("Key", str, UUID)

Limit = Annotated[int, Query(ge=1, le=200)]

_READERS: dict[str, Callable[[str], Value]] = {
    "d": datetime.fromisoformat,
    "f": float.fromhex,
    "i": int,
    "n": lambda _: None,
    "s": str,
    "u": UUID,
}


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    next_cursor: str | None = Field(None, description="for `?cursor=`; null on the last page")


class Cursors:
    """Writes and reads cursors."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def encode(self, fingerprint: bytes, last: Sequence[Value]) -> str:
        """The cursor of the page after the row with these sort values."""
        kid, key = self._keys.signing("cursor")
        payload = json.dumps([kid, [_tagged(value) for value in last]], separators=(",", ":")).encode()
        return _base64(_mac(key, fingerprint, payload) + payload)

    def decode(self, cursor: str, fingerprint: bytes) -> tuple[Value, ...]:
        """The sort values in a cursor. Raises Malformed if it is forged or belongs to another query."""
        try:
            if len(cursor) > MAX_CURSOR_CHARS:
                raise ValueError
            raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
            kid, values = json.loads(payload)
            key = self._keys.verifying("cursor", kid)
            if key is None or not hmac.compare_digest(mac, _mac(key, fingerprint, payload)):
                raise ValueError
            return tuple(_READERS[tag](written) for tag, written in values)
        except (ValueError, TypeError, KeyError, binascii.Error, RecursionError) as error:
            raise Malformed(
                "This cursor does not belong to this query. Repeat the request without a cursor."
            ) from error


CursorsPart = Annotated[Cursors, Depends(part(Cursors))]


@dataclasses.dataclass(frozen=True, slots=True)
class Paging:
    """The page that a request asks for, and the answer with it."""

    request: Request
    response: Response
    cursors: Cursors
    limit: int
    cursor: str | None

    async def page(
        self,
        query: str,
        caller_id: UUID,
        rows_after: Callable[[Key | None, int], Awaitable[Sequence[Row]]],
        *,
        key: tuple[type[Key], Callable[[Row], Key]],
        item: Callable[[Row], Item],
        filters: Mapping[str, object] | None = None,
    ) -> Page[Item]:
        """One page of a list that is sorted by one key.

        ``rows_after`` gets the key of the last row seen (None for the first page) and how many rows it returns at most.
        ``key`` is the key's type and how to read it from a row. Raises Malformed for a cursor of another query.
        """
        key_type, key_of = key
        mark = fingerprint(query, caller_id, filters or {})
        last = self.cursors.decode(self.cursor, mark)[0] if self.cursor else None
        rows = await rows_after(last if isinstance(last, key_type) else None, self.limit + 1)
        shown = rows[: self.limit]
        next_cursor = self.cursors.encode(mark, [key_of(shown[-1])]) if len(rows) > self.limit else None
        link_next(self.request, self.response, next_cursor)
        return Page(items=[item(row) for row in shown], next_cursor=next_cursor)


async def _paging(
    request: Request, response: Response, cursors: CursorsPart, limit: Limit = 50, cursor: str | None = None
) -> Paging:
    return Paging(request, response, cursors, limit, cursor)


PagingPart = Annotated[Paging, Depends(_paging)]
"""Adds the query parameters ``limit`` and ``cursor`` to a route."""


def fingerprint(query: str, caller: object, conditions: Mapping[str, object]) -> bytes:
    """Identifies a query by its name, its caller, its filters and its order, but not by the page size."""
    text = json.dumps([query, str(caller), sorted((k, str(v)) for k, v in conditions.items() if v is not None)])
    return hashlib.sha256(text.encode(errors="backslashreplace")).digest()


def link_next(request: Request, response: Response, cursor: str | None) -> None:
    """Add the ``Link`` to the next page.

    It is a relative reference, like every URL in an answer, so the ``Host`` header does not affect it.
    """
    if cursor is not None:
        _link(request, response, "cursor", cursor)


def link_next_page(request: Request, response: Response, page: int) -> None:
    """The same for the lists that also have page numbers."""
    _link(request, response, "page", str(page))


def _link(request: Request, response: Response, name: str, value: str) -> None:
    parameters = [(known, sent) for known, sent in request.query_params.multi_items() if known != name]
    target = (
        f"{public_path(quote(route_path(request.scope)))}?{urlencode([*parameters, (name, value)], errors='replace')}"
    )
    response.headers.append("Link", f'<{target}>; rel="next"')


def _tagged(value: Value) -> tuple[str, str | int | None]:
    """The value with a letter for its type, so that ``decode`` restores the type."""
    match value:
        case None:
            return "n", None
        case str():
            return "s", value
        case int():
            return "i", value
        case float():
            return "f", value.hex()
        case datetime():
            return "d", value.isoformat()
        case UUID():
            return "u", str(value)


def _mac(key: bytes, fingerprint: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, fingerprint + payload, hashlib.sha256)[:_MAC_BYTES]


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
