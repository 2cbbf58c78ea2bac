"""Early refusal, over real sockets: what a client sees that is still sending when the answer comes."""

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
    """What came back, how much had gone out by then, and how long it took until the server closed."""

    answer: bytes
    sent_bytes: int
    seconds: float


def head(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: service", *lines, "", ""]).encode()


def send_all_then_read(port: int, request: bytes, body_bytes: int) -> Conversation:
    """A client that does not look at the answer before it has sent everything (or cannot send any more)."""
    began, sent = time.monotonic(), 0
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        with contextlib.suppress(ConnectionError):
            while sent < body_bytes:
                sent += connection.send(b"x" * min(65_536, body_bytes - sent))
        return Conversation(read_to_end(connection), sent, time.monotonic() - began)


def read_to_end(connection: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(65_536):
            answer += chunk
    return answer


async def refuse(request: Request) -> Response:
    return PlainTextResponse("used up", 410)


async def refuse_in_pieces(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"used "
        yield b"up"

    return StreamingResponse(pieces(), 410)


async def sniff_then_refuse(request: Request) -> Response:
    async for _first in request.stream():
        return PlainTextResponse("no image", 415)
    return PlainTextResponse("empty", 400)


async def refuse_without_a_length(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 410, "headers": []})
    await send({"type": "http.response.body", "body": b"used up"})


async def take(request: Request) -> Response:
    return PlainTextResponse(f"{len(await request.body())} bytes")


def app(**rules: float) -> EarlyResponse:
    routes = [
        Route(path, endpoint, methods=["GET", "POST"])
        for path, endpoint in (
            ("/refuse", refuse),
            ("/pieces", refuse_in_pieces),
            ("/sniff", sniff_then_refuse),
            ("/take", take),
        )
    ]
    return EarlyResponse(Starlette(routes=routes), **rules)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/refuse", "/sniff", "/pieces"])
def test_a_client_that_sends_five_megabytes_reads_the_refusal_ten_times_of_ten(serve: Serve, path: str) -> None:
    port = serve(app())
    request = head(path, f"Content-Length: {5 * MIB}")

    answers = [send_all_then_read(port, request, 5 * MIB).answer for _ in range(10)]

    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 415" if path == "/sniff" else b"HTTP/1.1 410"] * 10
    assert all(b"connection: close" in answer.lower() for answer in answers)


def test_a_refusal_is_whole_before_the_rest_of_the_body_has_come(serve: Serve) -> None:
    port = serve(app())
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head("/refuse", f"Content-Length: {5 * MIB}") + b"only the beginning")
        connection.settimeout(2)
        answer = connection.recv(65_536)
        answer += b"" if answer.endswith(b"used up") else connection.recv(65_536)

    assert b"content-length: 7\r\n" in answer.lower()
    assert answer.endswith(b"\r\n\r\nused up")


def test_a_refusal_is_given_a_length_when_it_has_none(serve: Serve) -> None:
    port = serve(EarlyResponse(refuse_without_a_length))

    answer = send_all_then_read(port, head("/", f"Content-Length: {5 * MIB}"), 5 * MIB).answer

    assert b"content-length: 7\r\n" in answer
    assert b"chunked" not in answer


def test_a_client_that_never_stops_sending_is_cut_at_the_bound_of_bytes(serve: Serve) -> None:
    port = serve(app(max_bytes=1 * MIB, max_seconds=60))
    request = head("/refuse", "Transfer-Encoding: chunked") + b"%x\r\n" % (1 << 40)

    conversation = send_all_then_read(port, request, 1 << 40)

    # What lies in the kernel's buffers comes on top of the bound.
    assert conversation.sent_bytes < 64 * MIB
    assert conversation.seconds < 30


def test_a_client_that_sends_slowly_without_end_is_cut_at_the_bound_of_time(serve: Serve) -> None:
    port = serve(app(max_seconds=0.3))
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head("/refuse", f"Content-Length: {5 * MIB}"))
        answer = read_to_end(connection)

    assert answer.endswith(b"used up")


def test_a_body_that_nobody_asked_for_is_refused_without_100_continue(serve: Serve) -> None:
    port = serve(app(max_seconds=60, expect_seconds=0.05))
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head("/refuse", f"Content-Length: {5 * MIB}", "Expect: 100-continue"))
        answer = read_to_end(connection)

    assert answer.startswith(b"HTTP/1.1 410")
    assert b"100 Continue" not in answer
    assert b"connection: close" in answer.lower()


def test_a_client_that_sends_without_waiting_for_100_continue_reads_the_refusal_too(serve: Serve) -> None:
    port = serve(app())
    request = head("/refuse", f"Content-Length: {5 * MIB}", "Expect: 100-continue")

    assert send_all_then_read(port, request, 5 * MIB).answer.startswith(b"HTTP/1.1 410")


def test_a_body_that_is_read_is_asked_for_with_100_continue(serve: Serve) -> None:
    port = serve(app())
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head("/take", "Content-Length: 5", "Expect: 100-continue", "Connection: close"))
        first = connection.recv(25)
        connection.sendall(b"hello")
        answer = read_to_end(connection)

    assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"5 bytes")


def test_a_connection_lives_on_when_the_body_was_read(serve: Serve) -> None:
    port = serve(app())
    large = head("/take", f"Content-Length: {1 * MIB}") + b"x" * MIB
    last = head("/take", "Content-Length: 2", "Connection: close") + b"ok"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(large + last)
        answer = read_to_end(connection)

    assert b"1048576 bytes" in answer
    assert answer.endswith(b"2 bytes")
    assert answer.count(b"HTTP/1.1 200") == 2


def test_a_connection_lives_on_when_a_small_body_was_not_read(serve: Serve) -> None:
    port = serve(app())
    unread = head("/refuse", "Content-Length: 1000") + b"x" * 1000
    last = head("/take", "Content-Length: 2", "Connection: close") + b"ok"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(unread + last)
        answer = read_to_end(connection)

    assert answer.startswith(b"HTTP/1.1 410")
    assert answer.endswith(b"2 bytes")


def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    port = serve(app())
    requests = [head("/take", f"Content-Length: {size}") + b"x" * size for size in (1, 22, 333, 4444)]
    last = head("/take", "Content-Length: 0", "Connection: close")
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(b"".join(requests) + last)
        answer = read_to_end(connection)

    bodies = [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert bodies == [b"1 bytes", b"22 bytes", b"333 bytes", b"4444 bytes", b"0 bytes"]
