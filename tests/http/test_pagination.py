"""Keyset pagination: signed cursors, and `Link` headers."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from imagesvc.errors import Malformed
from imagesvc.http.pagination import Cursors, Page, Value, fingerprint, link_next
from imagesvc.keyring import KeyRing

OLD, NEW = ("old", b"o" * 32), ("new", b"n" * 32)
QUERY = fingerprint("images", "ann", {"state": "ready", "sort": "-score"})
ROW: Sequence[Value] = (
    datetime(2026, 11, 21, 3, 0, 0, 123456, tzinfo=UTC),
    datetime(2026, 11, 21, tzinfo=timezone(timedelta(hours=2))),
    UUID("0198c5a0-0000-7000-8000-000000000001"),
    "über 😀",
    12,
    0.1,
    None,
)


@pytest.fixture
def cursors() -> Cursors:
    return Cursors(KeyRing([NEW, OLD]))


def test_a_decoded_cursor_has_the_values_of_the_last_row(cursors: Cursors) -> None:
    cursor = cursors.encode(QUERY, ROW)

    assert cursors.decode(cursor, QUERY) == tuple(ROW)
    assert [type(value) for value in cursors.decode(cursor, QUERY)] == [type(value) for value in ROW]


def test_a_cursor_needs_no_escaping_in_a_url(cursors: Cursors) -> None:
    assert cursors.encode(QUERY, ROW).replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "other",
    [
        fingerprint("images", "bob", {"state": "ready", "sort": "-score"}),
        fingerprint("links", "ann", {"state": "ready", "sort": "-score"}),
        fingerprint("images", "ann", {"state": "ready", "sort": "score"}),
        fingerprint("images", "ann", {"state": "ready", "sort": "-score", "q": "cats"}),
        fingerprint("images", "ann", {}),
    ],
)
def test_a_cursor_of_another_query_or_caller_is_400(cursors: Cursors, other: bytes) -> None:
    with pytest.raises(Malformed):
        cursors.decode(cursors.encode(QUERY, ROW), other)


def test_a_fingerprint_ignores_the_order_of_filters_and_unset_filters() -> None:
    assert fingerprint("images", "ann", {"sort": "-score", "q": None, "state": "ready"}) == QUERY


@pytest.mark.parametrize("at", range(0, 60, 3))
def test_a_modified_cursor_is_400(cursors: Cursors, at: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(cursors.encode(QUERY, [1, "a text that is long enough to modify"]) + "=="))
    raw[at] ^= 1

    with pytest.raises(Malformed):
        cursors.decode(base64.urlsafe_b64encode(raw).rstrip(b"=").decode(), QUERY)


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "a",
        "abc",
        "ä",
        "%00",
        "A" * 22,
        "A" * 5_000,
        base64.urlsafe_b64encode(b"x" * 16 + b"[[[[").decode(),
        "a b",
        "\0",
    ],
)
def test_a_malformed_cursor_is_400(cursors: Cursors, malformed: str) -> None:
    with pytest.raises(Malformed):
        cursors.decode(malformed, QUERY)


def test_a_cursor_signed_with_an_older_secret_is_valid_until_its_removal(cursors: Cursors) -> None:
    cursor = Cursors(KeyRing([OLD])).encode(QUERY, ROW)

    assert cursors.decode(cursor, QUERY) == tuple(ROW)
    with pytest.raises(Malformed):
        Cursors(KeyRing([NEW])).decode(cursor, QUERY)


async def test_the_link_to_the_next_page_does_not_contain_the_host_header(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    @app.get("/v1/images", response_model=Page[int])
    async def images(request: Request, response: Response) -> Page[int]:
        link_next(request, response, "after-2")
        return Page(items=[1, 2], next_cursor="after-2")

    answer = await client.get(
        "/v1/images?cursor=before&q=a%26b%20%3E&limit=2", headers={"Host": 'evil.example>; rel="next'}
    )

    assert answer.json() == {"items": [1, 2], "next_cursor": "after-2"}
    assert answer.headers["link"] == '</v1/images?q=a%26b+%3E&limit=2&cursor=after-2>; rel="next"'
    assert answer.links["next"]["url"] == "/v1/images?q=a%26b+%3E&limit=2&cursor=after-2"


async def test_the_last_page_has_no_link_to_a_next_page(app: FastAPI, client: httpx.AsyncClient) -> None:
    @app.get("/v1/images")
    async def images(request: Request, response: Response) -> Page[int]:
        link_next(request, response, None)
        return Page(items=[3])

    answer = await client.get("/v1/images")

    assert "link" not in answer.headers
    assert answer.json() == {"items": [3], "next_cursor": None}
