"""Problem documents (RFC 9457) for errors of the service, FastAPI and Starlette, and for unexpected exceptions."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from starlette.exceptions import HTTPException

from imagesvc.errors import Conflict, ImagesvcError, Invalid, NotFound, Unauthenticated, Unavailable
from imagesvc.http.problems import as_problem, problems
from imagesvc.http.request_context import accept_large_body

from .conftest import LogLines


class LinkUsedUp(ImagesvcError):
    """The link has accepted its maximum number of files."""

    status, slug, title = 410, "test-link-used-up", "The link has no files left"


class LinkExpired(ImagesvcError):
    status, slug, title = 410, "test-link-expired", "The link has expired"


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    router = APIRouter(prefix="/items")

    @router.get("/{id}")
    async def read(id: UUID) -> None: ...

    @router.delete("/{id}")
    async def delete(id: UUID) -> None: ...

    @app.get("/query")
    async def query(limit: int = 50) -> None: ...

    @app.post("/body")
    async def body(body: dict[str, Any]) -> None: ...

    @app.post("/stream")
    async def stream(request: Request) -> int:
        accept_large_body(request)
        return len(await request.body())

    app.include_router(router, prefix="/v1")
    return app


def failing(app: FastAPI, error: Exception) -> str:
    async def fail() -> None:
        raise error

    app.add_api_route("/fail", fail)
    return "/fail"


async def test_an_expected_error_is_a_problem_with_its_type_detail_and_request_id(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    answer = await client.get(failing(app, LinkUsedUp("Request a new link.", extra={"max_files": 10, "status": 1})))

    assert answer.status_code == 410
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "type": "/problems/test-link-used-up",
        "title": "The link has no files left",
        "status": 410,
        "detail": "Request a new link.",
        "instance": answer.headers["x-request-id"],
        "max_files": 10,
    }


async def test_a_missing_credential_is_401_with_a_bearer_challenge(app: FastAPI, client: httpx.AsyncClient) -> None:
    answer = await client.get(failing(app, Unauthenticated()))

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_temporary_failure_is_503_with_retry_after(
    app: FastAPI, client: httpx.AsyncClient, log_lines: LogLines
) -> None:
    answer = await client.get(failing(app, Unavailable("The object store is unavailable.", retry_after_seconds=7)))

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "7"
    assert [line["level"] for line in log_lines() if line["event"] == "request failed"] == ["warning"]


async def test_the_headers_of_an_error_are_sent(app: FastAPI, client: httpx.AsyncClient) -> None:
    answer = await client.get(failing(app, Conflict(headers={"ETag": '"now"'})))

    assert answer.headers["etag"] == '"now"'


async def test_an_unexpected_exception_is_500_and_only_the_log_has_its_message(
    app: FastAPI, client: httpx.AsyncClient, log_lines: LogLines
) -> None:
    answer = await client.get(failing(app, ZeroDivisionError("internal details")))

    assert answer.status_code == 500
    assert answer.json()["type"] == "/problems/internal"
    assert "internal details" not in answer.text
    [line] = [line for line in log_lines() if line["level"] == "error"]
    assert "ZeroDivisionError: internal details" in line["exception"]
    assert line["request_id"] == answer.json()["instance"]


async def test_a_response_that_violates_its_schema_is_500_and_its_values_not_logged(
    app: FastAPI, client: httpx.AsyncClient, log_lines: LogLines
) -> None:
    async def return_a_string() -> str:
        return "a private value"

    app.add_api_route("/integer", return_a_string, response_model=int)

    answer = await client.get("/integer")

    assert answer.status_code == 500
    assert "a private value" not in answer.text + str(log_lines())
    assert "int_parsing" in str(log_lines())


async def test_a_lone_surrogate_in_a_detail_is_escaped_in_the_json(app: FastAPI, client: httpx.AsyncClient) -> None:
    answer = await client.get(failing(app, Conflict("über \udc80")))

    assert answer.status_code == 409
    assert '"über \\udc80"' in answer.text


async def test_an_unknown_path_is_a_404_problem(client: httpx.AsyncClient) -> None:
    answer = await client.get("/unknown")

    assert answer.status_code == 404
    assert answer.json()["type"] == "/problems/not-found"


async def test_an_unsupported_method_is_405_with_all_supported_methods(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/items/3d1f2c3a-6a1b-4d0c-9c1e-0e6d6f0b8a11")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "DELETE, GET"


async def test_a_trailing_slash_is_404_and_not_a_redirect_to_the_host_header(client: httpx.AsyncClient) -> None:
    answer = await client.get("/query/", headers={"host": "elsewhere.example"})

    assert answer.status_code == 404


async def test_a_status_without_a_problem_type_is_about_blank(app: FastAPI, client: httpx.AsyncClient) -> None:
    answer = await client.get(failing(app, HTTPException(418, "short and stout")))

    assert answer.json() == {
        "type": "about:blank",
        "title": "I'm a Teapot",
        "status": 418,
        "detail": "short and stout",
        "instance": answer.headers["x-request-id"],
    }


async def test_a_body_over_the_limit_is_413_before_it_is_parsed(client: httpx.AsyncClient) -> None:
    answer = await client.post("/body", json={"expires_in": 1, "padding": "x" * 1_000})

    assert answer.status_code == 413
    assert answer.json()["type"] == "/problems/body-too-large"


async def test_a_body_whose_content_length_exceeds_the_limit_is_not_read(
    client: httpx.AsyncClient, log_lines: LogLines
) -> None:
    answer = await client.post("/body", content=b"x" * 5_000)

    assert answer.status_code == 413
    assert log_lines()[-1]["bytes_in"] == 0


async def test_a_body_of_unknown_length_is_413_when_it_exceeds_the_limit(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100

    answer = await client.post("/body", content=endless(), headers={"content-type": "application/json"})

    assert answer.status_code == 413


async def test_a_route_that_accepts_large_bodies_has_no_limit(client: httpx.AsyncClient) -> None:
    answer = await client.post("/stream", content=b"x" * 5_000)

    assert answer.json() == 5_000


async def test_the_url_of_a_problem_type_describes_it(client: httpx.AsyncClient) -> None:
    answer = await client.get("/problems/test-link-used-up")

    assert answer.json() == {
        "type": "/problems/test-link-used-up",
        "title": "The link has no files left",
        "status": 410,
        "description": "The link has accepted its maximum number of files.",
    }


async def test_an_unknown_problem_type_is_404(client: httpx.AsyncClient) -> None:
    assert (await client.get("/problems/unknown")).status_code == 404


def test_problems_with_the_same_status_share_one_openapi_response() -> None:
    responses = problems(LinkUsedUp, NotFound, LinkExpired, LinkUsedUp)

    assert list(responses) == [410, 404]
    assert responses[410]["description"] == "The link has no files left · The link has expired"
    examples = responses[410]["content"]["application/problem+json"]["examples"]
    assert list(examples) == ["test-link-used-up", "test-link-expired"]


def test_a_problem_inside_another_response_has_no_request_id() -> None:
    problem = as_problem(Invalid("wrong", errors=[{"pointer": "/a", "detail": "b"}]))

    assert problem == {
        "type": "/problems/invalid-request",
        "title": "The request is not valid",
        "status": 422,
        "detail": "wrong",
        "errors": [{"pointer": "/a", "detail": "b"}],
    }
