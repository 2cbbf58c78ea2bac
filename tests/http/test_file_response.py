"""Responses with stored files: complete, ranges, conditional, HEAD, and clients that disconnect."""

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
    """Streams `content` in chunks. Records the opened ranges, and whether the stream was closed."""

    def __init__(self, content: bytes = CONTENT, *, chunk_bytes: int = 1_000) -> None:
        self.content = content
        self.chunk_bytes = chunk_bytes
        self.opened: list[tuple[int, int]] = []
        self.closed = asyncio.Event()
        self.chunks_read = 0

    async def open(self, start: int, stop: int) -> AsyncIterator[bytes]:
        self.opened.append((start, stop))
        try:
            for at in range(start, stop, self.chunk_bytes):
                self.chunks_read += 1
                yield self.content[at : min(at + self.chunk_bytes, stop)]
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


async def test_a_get_returns_the_file_with_all_its_headers(client: httpx.AsyncClient, store: Store) -> None:
    answer = await client.get("/original")

    assert answer.status_code == 200
    assert answer.content == CONTENT
    assert {name: answer.headers[name] for name in answer.headers if name != "x-request-id"} == {
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


async def test_head_has_the_headers_of_get_and_opens_nothing(client: httpx.AsyncClient, store: Store) -> None:
    get, head = await client.get("/original"), await client.head("/original", headers={"Range": "bytes=0-9"})

    assert head.status_code == 200
    assert {k: v for k, v in head.headers.items() if k != "x-request-id"} == {
        k: v for k, v in get.headers.items() if k != "x-request-id"
    }
    assert head.content == b""
    assert len(store.opened) == 1


async def test_a_matching_if_none_match_is_304_and_opens_nothing(client: httpx.AsyncClient, store: Store) -> None:
    answer = await client.get("/original", headers={"If-None-Match": f'"other", W/{ETAG}', "Range": "bytes=0-9"})

    assert answer.status_code == 304
    assert answer.content == b""
    assert answer.headers["etag"] == ETAG
    assert answer.headers["cache-control"] == "private, no-cache"
    assert "content-type" not in answer.headers
    assert store.opened == []


@pytest.mark.parametrize(
    ("header", "start", "stop"), [("bytes=0-9", 0, 10), ("bytes=5000-", 5_000, len(CONTENT)), ("bytes=-3", -3, None)]
)
async def test_a_range_is_206_and_only_that_range_is_opened(
    client: httpx.AsyncClient, store: Store, header: str, start: int, stop: int | None
) -> None:
    answer = await client.get("/original", headers={"Range": header})

    assert answer.status_code == 206
    assert answer.content == CONTENT[start:stop]
    first, last = start % len(CONTENT), (stop or len(CONTENT)) - 1
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(CONTENT)}"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert store.opened == [(first, last + 1)]


async def test_a_range_beyond_the_end_is_416_with_the_size(client: httpx.AsyncClient, store: Store) -> None:
    answer = await client.get("/original", headers={"Range": f"bytes={len(CONTENT)}-"})

    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"
    assert answer.json()["type"] == "/problems/range-not-satisfiable"
    assert store.opened == []


async def test_several_ranges_are_answered_with_the_complete_file(client: httpx.AsyncClient) -> None:
    answer = await client.get("/original", headers={"Range": "bytes=0-1,5-6"})

    assert (answer.status_code, answer.content) == (200, CONTENT)


@pytest.mark.parametrize(("tag", "status"), [(ETAG, 206), ('"another"', 200), (f"W/{ETAG}", 200)])
async def test_a_range_applies_only_if_if_range_matches_strongly(
    client: httpx.AsyncClient, tag: str, status: int
) -> None:
    answer = await client.get("/original", headers={"Range": "bytes=0-9", "If-Range": tag})

    assert answer.status_code == status


async def test_a_failed_if_match_is_412_and_opens_nothing(client: httpx.AsyncClient, store: Store) -> None:
    answer = await client.get("/original", headers={"If-Match": '"another"', "If-None-Match": ETAG})

    assert answer.status_code == 412
    assert store.opened == []


async def test_a_failure_before_the_first_byte_is_a_problem_document(app: FastAPI, client: httpx.AsyncClient) -> None:
    async def unavailable(_start: int, _stop: int) -> AsyncIterator[bytes]:
        raise Unavailable("The store is unavailable.")
        yield b""

    @app.get("/unavailable")
    async def read() -> StoredFileResponse:
        return StoredFileResponse(unavailable, size=3, media_type="image/png", etag='"a"', cache_control="no-store")

    answer = await client.get("/unavailable")

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


def test_a_truncated_file_breaks_the_connection(app: FastAPI, store: Store, serve: Serve) -> None:
    full_bytes = len(store.content)
    store.content = store.content[:-1]

    @app.get("/short")
    async def read() -> StoredFileResponse:
        return StoredFileResponse(
            store.open, size=full_bytes, media_type="image/png", etag='"a"', cache_control="no-store"
        )

    port = serve(app)

    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://127.0.0.1:{port}/short")


async def test_a_disconnect_stops_reading_and_closes_the_stream() -> None:
    store = Store(b"x" * 1_000_000)
    reading = store.open(0, 1_000_000)  # this reference keeps the garbage collector from closing the stream
    stored = StoredFileResponse(
        lambda _start, _stop: reading, size=1_000_000, media_type="image/png", etag='"a"', cache_control="no-store"
    )
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await stored({"type": "http", "method": "GET", "headers": []}, receive, send)

    assert store.chunks_read < 5
    assert store.closed.is_set()
    assert sent[-1]["more_body"] is True


def test_a_client_that_disconnects_closes_the_stream_on_a_real_server(
    app: FastAPI, serve: Serve, log_lines: LogLines
) -> None:
    chunk, max_chunks, chunks_read = b"x" * 64_000, 100_000, 0
    closed: list[bool] = []

    async def huge(_start: int, _stop: int) -> AsyncIterator[bytes]:
        nonlocal chunks_read
        try:
            for _ in range(max_chunks):
                chunks_read += 1
                yield chunk
        finally:
            closed.append(True)

    @app.get("/huge")
    async def read() -> StoredFileResponse:
        return StoredFileResponse(
            huge, size=max_chunks * len(chunk), media_type="image/png", etag='"a"', cache_control="no-store"
        )

    port = serve(app)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /huge HTTP/1.1\r\nHost: service\r\n\r\n")
        connection.recv(1_000)

    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        tries = (client.get("/original") and closed for _ in range(10_000))
        assert next(filter(None, tries))
    assert chunks_read < max_chunks
