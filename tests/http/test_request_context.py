"""Request ids, default response headers and access log lines."""

import socket
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from .conftest import LogLines, Serve

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiIxIn0.c2lnbmF0dXJl"


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    router = APIRouter(prefix="/u")

    @router.put("/{token}/{filename:path}")
    async def put(token: str, filename: str, request: Request) -> Response:
        request.state.caller_id = "link 7"
        structlog.get_logger().info("from the route")
        return PlainTextResponse(f"{len(await request.body())} bytes", 201)

    @app.put("/json")
    async def read_by_fastapi(body: dict[str, int]) -> None: ...

    @app.get("/livez")
    async def livez() -> str:
        return "ok"

    @app.get("/fail")
    async def fail() -> None:
        raise ValueError

    @app.get("/half")
    async def half() -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"the first half"
            raise ValueError("no second half")

        return StreamingResponse(chunks())

    app.include_router(router, prefix="/outer")
    return app


def requests_in(lines: LogLines) -> list[dict[str, object]]:
    return [line for line in lines() if line["event"] == "request"]


@pytest.mark.parametrize("path", ["/livez", "/fail", "/nowhere"])
async def test_every_response_has_a_request_id_and_the_security_headers(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)

    assert len(answer.headers["x-request-id"]) == 32
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_a_request_id_from_the_caller_is_logged_but_not_adopted(
    client: httpx.AsyncClient, log_lines: LogLines
) -> None:
    answer = await client.put("/outer/u/t/f", headers={"X-Request-Id": "from-the-caller_1"})

    [line] = requests_in(log_lines)
    assert answer.headers["x-request-id"] != "from-the-caller_1"
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["caller_request_id"] == "from-the-caller_1"


@pytest.mark.parametrize("sent", ["x" * 65, "with space", 'quo"te', ""])
async def test_an_invalid_request_id_from_the_caller_is_not_logged(
    client: httpx.AsyncClient, log_lines: LogLines, sent: str
) -> None:
    await client.put("/outer/u/t/f", headers={"X-Request-Id": sent})

    assert "caller_request_id" not in requests_in(log_lines)[0]


async def test_the_access_log_names_the_route_and_never_the_path(
    client: httpx.AsyncClient, log_lines: LogLines
) -> None:
    await client.put(f"/outer/u/{TOKEN}/holiday.jpg?secret=1", content=b"12345")

    [line] = requests_in(log_lines)
    assert {key: line[key] for key in ("method", "route", "status", "bytes_in", "bytes_out", "caller", "client")} == {
        "method": "PUT",
        "route": "/outer/u/{token}/{filename}",
        "status": 201,
        "bytes_in": 5,
        "bytes_out": 7,
        "caller": "link 7",
        "client": "127.0.0.1",
    }
    assert "holiday" not in str(log_lines())
    assert TOKEN not in str(log_lines())


async def test_a_path_without_a_route_is_not_logged(client: httpx.AsyncClient, log_lines: LogLines) -> None:
    await client.get(f"/misspelt/{TOKEN}")

    [line] = requests_in(log_lines)
    assert line["route"] is None
    assert line["problem"] == "not-found"
    assert TOKEN not in str(log_lines())


async def test_log_lines_of_a_route_have_the_request_id(client: httpx.AsyncClient, log_lines: LogLines) -> None:
    answer = await client.put("/outer/u/t/f")

    [line] = [line for line in log_lines() if line["event"] == "from the route"]
    assert line["request_id"] == answer.headers["x-request-id"]


async def test_probes_are_logged_at_debug_level(client: httpx.AsyncClient, log_lines: LogLines) -> None:
    await client.get("/livez")

    assert [line["level"] for line in requests_in(log_lines)] == ["debug"]


def test_an_error_in_the_middle_of_a_response_breaks_the_connection(
    app: FastAPI, serve: Serve, log_lines: LogLines
) -> None:
    port = serve(app)

    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://127.0.0.1:{port}/half")

    assert [line["unfinished"] for line in requests_in(log_lines)] == ["aborted"]
    assert "no second half" in str([line.get("exception") for line in log_lines() if line["level"] == "error"])


@pytest.mark.parametrize("path", ["/outer/u/t/f", "/json"])
def test_a_client_disconnect_is_logged_as_info_and_not_as_an_error(
    app: FastAPI, serve: Serve, log_lines: LogLines, path: str
) -> None:
    port = serve(app)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"PUT {path} HTTP/1.1\r\nHost: service\r\nContent-Length: 100\r\n\r\nhalf of it".encode())

    lines = wait_for_request_line(port, log_lines)
    assert lines[0]["unfinished"] == "client disconnected"
    assert lines[0]["status"] is None
    assert "problem" not in lines[0]
    assert {line["level"] for line in log_lines()} <= {"info", "debug"}


def wait_for_request_line(port: int, log_lines: LogLines) -> list[dict[str, object]]:
    """Returns the access log lines of the PUT. Polls `/livez` until there is one."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        httpx.get(f"http://127.0.0.1:{port}/livez")
        if lines := [line for line in requests_in(log_lines) if line["method"] == "PUT"]:
            return lines
    raise AssertionError("no access line within the deadline")
