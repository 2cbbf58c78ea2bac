"""Stored bytes over HTTP: whole, in part, not at all, and to a client that goes away."""

import asyncio
import base64
import hashlib
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message

from imagesvc.errors import Unavailable
from imagesvc.http.file_response import StoredFileResponse

from .conftest import LogLines, Serve

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).digest()
ETAG = f'"{SHA256.hex()}"'


class Store:
    """Hands out `content` in pieces and remembers what was opened, and whether it was closed again."""

    def __init__(self, content: bytes = CONTENT, *, piece_bytes: int = 1_000) -> None:
        self.content = content
        self.piece_bytes = piece_bytes
        self.opened: list[tuple[int, int]] = []
        self.closed = asyncio.Event()
        self.pieces_read = 0

    async def open(self, start: int, stop: int) -> AsyncIterator[bytes]:
        self.opened.append((start, stop))
        try:
            for at in range(start, stop, self.piece_bytes):
                self.pieces_read += 1
                yield self.content[at : min(at + self.piece_bytes, stop)]
        finally:
            self.closed.set()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def app(app: FastAPI, store: Store) -> FastAPI:
    @app.api_route("/original", methods=["GET", "HEAD"])
    async def original() -> StoredFileResponse:
        return StoredFileResponse(
            store.open,
            size=len(store.content),
            media_type="image/jpeg",
            etag=ETAG,
            cache_control="private, no-cache",
            sha256=SHA256,
            filename="a.jpg",
            headers={"Content-Security-Policy": "default-src 'none'; sandbox"},
        )

    return app


async def test_the_whole_comes_with_everything_that_is_known_about_it(client: httpx.AsyncClient, store: Store) -> None:
    answer = await client.get("/original")

    assert answer.status_code == 200
    assert answer.content == CONTENT
    told = {name: answer.headers[name] for name in answer.headers if name != "x-request-id"}
    assert told == {
        "etag": ETAG,
        "cache-control": "private, no-cache",
        "accept-ranges": "bytes",
        "content-security-policy": "default-src 'none'; sandbox",
        "content-type": "image/jpeg",
        "repr-digest": f"sha-256=:{base64.b64encode(SHA256).decode()}:",
        "content-disposition": 'attachment; filename="a.jpg"',
        "content-length": str(len(CONTENT)),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    assert store.closed.is_set()


async def test_head_tells_the_same_and_opens_nothing(client: httpx.AsyncClient, store: Store) -> None:
    whole, head = await client.get("/original"), await client.head("/original", headers={"Range": "bytes=0-9"})

    ours = {"x-request-id"}
    assert head.status_code == 200
    assert {k: v for k, v in head.headers.items() if k not in ours} == {
        k: v for k, v in whole.headers.items() if k not in ours
    }
    assert head.content == b""
    assert len(store.opened) == 1


async def test_a_client_that_has_it_already_gets_304_and_nothing_is_opened(
    client: httpx.AsyncClient, store: Store
) -> None:
    answer = await client.get("/original", headers={"If-None-Match": f'"other", W/{ETAG}', "Range": "bytes=0-9"})

    assert answer.status_code == 304
    assert answer.content == b""
    assert answer.headers["etag"] == ETAG
    assert answer.headers["cache-control"] == "private, no-cache"
    assert "content-type" not in answer.headers
    assert store.opened == []


@pytest.mark.parametrize(
    ("wanted", "start", "stop"), [("bytes=0-9", 0, 10), ("bytes=5000-", 5_000, len(CONTENT)), ("bytes=-3", -3, None)]
)
async def test_a_part_is_206_and_only_that_part_is_opened(
    client: httpx.AsyncClient, store: Store, wanted: str, start: int, stop: int | None
) -> None:
    answer = await client.get("/original", headers={"Range": wanted})

    assert answer.status_code == 206
    assert answer.content == CONTENT[start:stop]
    first, last = start % len(CONTENT), (stop or len(CONTENT)) - 1
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(CONTENT)}"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert store.opened == [(first, last + 1)]


async def test_a_part_beyond_the_end_is_416_and_tells_the_size(client: httpx.AsyncClient, store: Store) -> None:
    answer = await client.get("/original", headers={"Range": f"bytes={len(CONTENT)}-"})

    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"
    assert answer.json()["type"] == "/problems/range-not-satisfiable"
    assert store.opened == []


async def test_several_parts_are_answered_with_the_whole(client: httpx.AsyncClient) -> None:
    answer = await client.get("/original", headers={"Range": "bytes=0-1,5-6"})

    assert (answer.status_code, answer.content) == (200, CONTENT)


@pytest.mark.parametrize(("tag", "status"), [(ETAG, 206), ('"another"', 200), (f"W/{ETAG}", 200)])
async def test_a_part_of_other_bytes_is_answered_with_the_whole(
    client: httpx.AsyncClient, tag: str, status: int
) -> None:
    answer = await client.get("/original", headers={"Range": "bytes=0-9", "If-Range": tag})

    assert answer.status_code == status


async def test_a_condition_on_other_bytes_is_412(client: httpx.AsyncClient, store: Store) -> None:
    answer = await client.get("/original", headers={"If-Match": '"another"', "If-None-Match": ETAG})

    assert answer.status_code == 412
    assert store.opened == []


async def test_what_goes_wrong_before_the_first_byte_is_an_ordinary_problem(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    async def away(_start: int, _stop: int) -> AsyncIterator[bytes]:
        raise Unavailable("The store is away.")
        yield b""

    @app.get("/away")
    async def read() -> StoredFileResponse:
        return StoredFileResponse(away, size=3, media_type="image/png", etag='"a"', cache_control="no-store")

    answer = await client.get("/away")

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"


async def test_an_empty_file_is_sent_without_opening_it(app: FastAPI, client: httpx.AsyncClient) -> None:
    empty = Store(b"")

    @app.get("/empty")
    async def read() -> StoredFileResponse:
        return StoredFileResponse(empty.open, size=0, media_type="image/png", etag='"a"', cache_control="no-store")

    answer = await client.get("/empty")

    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")
    assert empty.opened == []


def test_a_file_that_is_shorter_than_it_should_be_is_not_taken_for_whole(
    app: FastAPI, store: Store, serve: Serve
) -> None:
    whole, store.content = store.content, store.content[:-1]

    @app.get("/short")
    async def read() -> StoredFileResponse:
        return StoredFileResponse(
            store.open, size=len(whole), media_type="image/png", etag='"a"', cache_control="no-store"
        )

    port = serve(app)

    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://127.0.0.1:{port}/short")


async def test_reading_stops_at_once_when_the_client_is_gone_and_the_store_is_closed() -> None:
    store = Store(b"x" * 1_000_000)
    reading = store.open(0, 1_000_000)  # held here, so that nobody but the answer closes it
    stored = StoredFileResponse(
        lambda _start, _stop: reading, size=1_000_000, media_type="image/png", etag='"a"', cache_control="no-store"
    )
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await stored({"type": "http", "method": "GET", "headers": []}, receive, send)

    assert store.pieces_read < 5
    assert store.closed.is_set()
    assert sent[-1]["more_body"] is True


def test_the_store_is_let_go_when_the_client_goes_away(app: FastAPI, serve: Serve, log_lines: LogLines) -> None:
    huge = Store(b"x" * 64_000, piece_bytes=64_000)
    pieces = 100_000
    closed: list[bool] = []

    async def endless(_start: int, _stop: int) -> AsyncIterator[bytes]:
        try:
            for _ in range(pieces):
                huge.pieces_read += 1
                yield huge.content
        finally:
            closed.append(True)

    @app.get("/huge")
    async def read() -> StoredFileResponse:
        return StoredFileResponse(
            endless, size=pieces * 64_000, media_type="image/png", etag='"a"', cache_control="no-store"
        )

    port = serve(app)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /huge HTTP/1.1\r\nHost: service\r\n\r\n")
        connection.recv(1_000)

    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        tries = (client.get("/original") and closed for _ in range(10_000))
        assert next(filter(None, tries))
    assert huge.pieces_read < pieces
