"""Early responses over real sockets: what a client receives while it still sends the body."""

import contextlib
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from imagesvc.http.early_response import EarlyResponse

from .conftest import Serve

MIB = 1024 * 1024


@dataclass(slots=True)
class Conversation:
    """The response, the body bytes that the client sent, and the seconds until the server closed the connection."""

    answer: bytes
    sent_bytes: int
    seconds: float


def head(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: service", *lines, "", ""]).encode()


def send_all_then_read(port: int, request: bytes, body_bytes: int) -> Conversation:
    """A client that reads the response only after it has sent the body, or when it can send no more."""
    started, sent = time.monotonic(), 0
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        with contextlib.suppress(ConnectionError):
            while sent < body_bytes:
                sent += connection.send(b"x" * min(65_536, body_bytes - sent))
        return Conversation(read_to_end(connection), sent, time.monotonic() - started)


def read_to_end(connection: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(65_536):
            answer += chunk
    return answer


async def refuse(request: Request) -> Response:
    return PlainTextResponse("used up", 410)


async def refuse_in_chunks(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"used "
        yield b"up"

    return StreamingResponse(chunks(), 410)


async def sniff_then_refuse(request: Request) -> Response:
    async for _first in request.stream():
        return PlainTextResponse("no image", 415)
    return PlainTextResponse("empty", 400)


async def refuse_without_content_length(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 410, "headers": []})
    await send({"type": "http.response.body", "body": b"used up"})


async def read_body(request: Request) -> Response:
    return PlainTextResponse(f"{len(await request.body())} bytes")


def app(**limits: float) -> EarlyResponse:
    routes = [
        Route(path, endpoint, methods=["GET", "POST"])
        for path, endpoint in (
            ("/refuse", refuse),
            ("/chunks", refuse_in_chunks),
            ("/sniff", sniff_then_refuse),
            ("/read", read_body),
        )
    ]
    return EarlyResponse(Starlette(routes=routes), **limits)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/refuse", "/sniff", "/chunks"])
def test_a_client_that_sends_5_mib_receives_the_refusal_in_ten_of_ten_runs(serve: Serve, path: str) -> None:
    port = serve(app())
    request = head(path, f"Content-Length: {5 * MIB}")

    answers = [send_all_then_read(port, request, 5 * MIB).answer for _ in range(10)]

    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 415" if path == "/sniff" else b"HTTP/1.1 410"] * 10
    assert all(b"connection: close" in answer.lower() for answer in answers)


def test_a_refusal_is_complete_before_the_rest_of_the_body_arrives(serve: Serve) -> None:
    port = serve(app())
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head("/refuse", f"Content-Length: {5 * MIB}") + b"only the start")
        connection.settimeout(2)
        answer = connection.recv(65_536)
        answer += b"" if answer.endswith(b"used up") else connection.recv(65_536)

    assert b"content-length: 7\r\n" in answer.lower()
    assert answer.endswith(b"\r\n\r\nused up")


def test_a_refusal_without_content_length_gets_one(serve: Serve) -> None:
    port = serve(EarlyResponse(refuse_without_content_length))

    answer = send_all_then_read(port, head("/", f"Content-Length: {5 * MIB}"), 5 * MIB).answer

    assert b"content-length: 7\r\n" in answer
    assert b"chunked" not in answer


def test_an_endless_upload_is_disconnected_after_the_byte_limit(serve: Serve) -> None:
    port = serve(app(max_bytes=1 * MIB, max_seconds=60))
    request = head("/refuse", "Transfer-Encoding: chunked") + b"%x\r\n" % (1 << 40)

    conversation = send_all_then_read(port, request, 1 << 40)

    # The kernel's socket buffers hold data beyond the limit.
    assert conversation.sent_bytes < 64 * MIB
    assert conversation.seconds < 30


def test_a_client_that_stops_sending_is_disconnected_after_the_time_limit(serve: Serve) -> None:
    port = serve(app(max_seconds=0.3))
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head("/refuse", f"Content-Length: {5 * MIB}"))
        answer = read_to_end(connection)

    assert answer.endswith(b"used up")


def test_a_body_that_the_route_does_not_read_is_refused_without_100_continue(serve: Serve) -> None:
    port = serve(app(max_seconds=60, expect_seconds=0.05))
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head("/refuse", f"Content-Length: {5 * MIB}", "Expect: 100-continue"))
        answer = read_to_end(connection)

    assert answer.startswith(b"HTTP/1.1 410")
    assert b"100 Continue" not in answer
    assert b"connection: close" in answer.lower()


def test_a_client_that_does_not_wait_for_100_continue_receives_the_refusal(serve: Serve) -> None:
    port = serve(app())
    request = head("/refuse", f"Content-Length: {5 * MIB}", "Expect: 100-continue")

    assert send_all_then_read(port, request, 5 * MIB).answer.startswith(b"HTTP/1.1 410")


def test_a_body_that_the_route_reads_is_requested_with_100_continue(serve: Serve) -> None:
    port = serve(app())
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head("/read", "Content-Length: 5", "Expect: 100-continue", "Connection: close"))
        first = connection.recv(25)
        connection.sendall(b"hello")
        answer = read_to_end(connection)

    assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"5 bytes")


def test_a_connection_stays_open_after_the_body_was_read(serve: Serve) -> None:
    port = serve(app())
    large = head("/read", f"Content-Length: {1 * MIB}") + b"x" * MIB
    last = head("/read", "Content-Length: 2", "Connection: close") + b"ok"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(large + last)
        answer = read_to_end(connection)

    assert b"1048576 bytes" in answer
    assert answer.endswith(b"2 bytes")
    assert answer.count(b"HTTP/1.1 200") == 2


def test_a_connection_stays_open_after_a_small_unread_body(serve: Serve) -> None:
    port = serve(app())
    unread = head("/refuse", "Content-Length: 1000") + b"x" * 1000
    last = head("/read", "Content-Length: 2", "Connection: close") + b"ok"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(unread + last)
        answer = read_to_end(connection)

    assert answer.startswith(b"HTTP/1.1 410")
    assert answer.endswith(b"2 bytes")


def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    port = serve(app())
    requests = [head("/read", f"Content-Length: {size}") + b"x" * size for size in (1, 22, 333, 4444)]
    last = head("/read", "Content-Length: 0", "Connection: close")
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(b"".join(requests) + last)
        answer = read_to_end(connection)

    bodies = [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert bodies == [b"1 bytes", b"22 bytes", b"333 bytes", b"4444 bytes", b"0 bytes"]
