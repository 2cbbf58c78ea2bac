"""Failures as problem documents: ours, FastAPI's, Starlette's, and the ones that nobody expected."""

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
    """The link has taken as many files as it was made for."""

    status, slug, title = 410, "test-link-used-up", "The link has taken all the files it may"


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


async def test_an_expected_failure_is_told_with_its_type_its_detail_and_the_request_id(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    answer = await client.get(failing(app, LinkUsedUp("Ask for a new one.", extra={"max_files": 10, "status": 1})))

    assert answer.status_code == 410
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "type": "/problems/test-link-used-up",
        "title": "The link has taken all the files it may",
        "status": 410,
        "detail": "Ask for a new one.",
        "instance": answer.headers["x-request-id"],
        "max_files": 10,
    }


async def test_a_missing_credential_is_answered_with_a_challenge(app: FastAPI, client: httpx.AsyncClient) -> None:
    answer = await client.get(failing(app, Unauthenticated()))

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_failure_that_may_pass_says_when_to_come_back(
    app: FastAPI, client: httpx.AsyncClient, log_lines: LogLines
) -> None:
    answer = await client.get(failing(app, Unavailable("The store is away.", retry_after_seconds=7)))

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "7"
    assert [line["level"] for line in log_lines() if line["event"] == "request failed"] == ["warning"]


async def test_a_failure_brings_its_own_headers(app: FastAPI, client: httpx.AsyncClient) -> None:
    answer = await client.get(failing(app, Conflict(headers={"ETag": '"now"'})))

    assert answer.headers["etag"] == '"now"'


async def test_what_nobody_expected_is_500_without_a_word_of_it_and_logged_with_its_trace(
    app: FastAPI, client: httpx.AsyncClient, log_lines: LogLines
) -> None:
    answer = await client.get(failing(app, ZeroDivisionError("the inner workings")))

    assert answer.status_code == 500
    assert answer.json()["type"] == "/problems/internal"
    assert "inner workings" not in answer.text
    [line] = [line for line in log_lines() if line["level"] == "error"]
    assert "ZeroDivisionError: the inner workings" in line["exception"]
    assert line["request_id"] == answer.json()["instance"]


async def test_an_answer_that_breaks_its_own_schema_is_500_and_its_values_stay_out_of_the_log(
    app: FastAPI, client: httpx.AsyncClient, log_lines: LogLines
) -> None:
    async def promise_a_number() -> str:
        return "a value of ours"

    app.add_api_route("/promise", promise_a_number, response_model=int)

    answer = await client.get("/promise")

    assert answer.status_code == 500
    assert "a value of ours" not in answer.text + str(log_lines())
    assert "int_parsing" in str(log_lines())


async def test_half_a_character_in_a_detail_is_written_as_json_writes_it(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    answer = await client.get(failing(app, Conflict("über \udc80")))

    assert answer.status_code == 409
    assert '"über \\udc80"' in answer.text


async def test_an_unknown_path_is_a_problem_too(client: httpx.AsyncClient) -> None:
    answer = await client.get("/nowhere")

    assert answer.status_code == 404
    assert answer.json()["type"] == "/problems/not-found"


async def test_a_wrong_method_is_told_all_the_right_ones(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/items/3d1f2c3a-6a1b-4d0c-9c1e-0e6d6f0b8a11")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "DELETE, GET"


async def test_a_slash_too_many_is_not_redirected_to_where_the_host_header_says(client: httpx.AsyncClient) -> None:
    answer = await client.get("/query/", headers={"host": "elsewhere.example"})

    assert answer.status_code == 404


async def test_a_status_without_a_type_of_ours_is_about_blank(app: FastAPI, client: httpx.AsyncClient) -> None:
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


async def test_a_body_that_says_it_is_too_large_is_not_even_asked_for(
    client: httpx.AsyncClient, log_lines: LogLines
) -> None:
    answer = await client.post("/body", content=b"x" * 5_000)

    assert answer.status_code == 413
    assert log_lines()[-1]["bytes_in"] == 0


async def test_a_body_of_unknown_length_is_cut_at_the_limit(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100

    answer = await client.post("/body", content=endless(), headers={"content-type": "application/json"})

    assert answer.status_code == 413


async def test_a_route_that_streams_takes_a_large_body(client: httpx.AsyncClient) -> None:
    answer = await client.post("/stream", content=b"x" * 5_000)

    assert answer.json() == 5_000


async def test_every_type_can_be_looked_up(client: httpx.AsyncClient) -> None:
    answer = await client.get("/problems/test-link-used-up")

    assert answer.json() == {
        "type": "/problems/test-link-used-up",
        "title": "The link has taken all the files it may",
        "status": 410,
        "description": "The link has taken as many files as it was made for.",
    }


async def test_a_type_that_does_not_exist_is_404(client: httpx.AsyncClient) -> None:
    assert (await client.get("/problems/made-up")).status_code == 404


def test_the_failures_of_a_route_share_the_entry_of_their_status() -> None:
    responses = problems(LinkUsedUp, NotFound, LinkExpired, LinkUsedUp)

    assert list(responses) == [410, 404]
    assert responses[410]["description"] == "The link has taken all the files it may · The link has expired"
    examples = responses[410]["content"]["application/problem+json"]["examples"]
    assert list(examples) == ["test-link-used-up", "test-link-expired"]


def test_a_failure_inside_another_answer_has_no_request_id_of_its_own() -> None:
    problem = as_problem(Invalid("wrong", errors=[{"pointer": "/a", "detail": "b"}]))

    assert problem == {
        "type": "/problems/invalid-request",
        "title": "The request is not valid",
        "status": 422,
        "detail": "wrong",
        "errors": [{"pointer": "/a", "detail": "b"}],
    }
