"""Direct routes respond as FastAPI's routes do, and leave all other requests to FastAPI."""

from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import JSONResponse, Response

from imagesvc.errors import Conflict
from imagesvc.http import problems, request_context
from imagesvc.http.fast_routes import FastRoute, serve_fast
from tests.http.conftest import LogLines

router = APIRouter(prefix="/things")


@router.put("/{name}/{rest:path}")
async def put_thing(request: Request, name: str, rest: str) -> Response:
    if name == "taken":
        raise Conflict("It is taken.")
    if name == "broken":
        raise RuntimeError("secret words")
    body = b"".join([chunk async for chunk in request.stream()])
    return JSONResponse({"name": name, "rest": rest, "body": body.decode(), "route": _is_direct(request)}, 201)


@router.get("/{name}/{rest:path}")
async def get_thing(request: Request, name: str, rest: str) -> dict[str, Any]:
    return {"name": name, "rest": rest, "route": _is_direct(request)}


def _is_direct(request: Request) -> bool:
    return isinstance(request.scope["route"], FastRoute)


@pytest.fixture
def app(log_lines: LogLines) -> FastAPI:
    """An app with the parts in the order of the real one."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(router)
    problems.register(app)
    serve_fast(app, put_thing)
    request_context.register(app, max_body_bytes=1_000)
    return app


async def test_a_direct_route_receives_the_request_and_its_path_parameters(client: httpx.AsyncClient) -> None:
    answer = await client.put("/things/a%20b/c/d%2Fe.jpg", content=b"body")

    assert answer.status_code == 201
    assert answer.json() == {"name": "a b", "rest": "c/d/e.jpg", "body": "body", "route": True}


async def test_an_error_raised_in_a_direct_route_becomes_a_problem(client: httpx.AsyncClient) -> None:
    answer = await client.put("/things/taken/x", content=b"body")

    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "It is taken."


async def test_an_unexpected_exception_is_500_without_its_message(client: httpx.AsyncClient) -> None:
    answer = await client.put("/things/broken/x", content=b"body")

    assert answer.status_code == 500
    assert answer.json()["type"] == "/problems/internal"
    assert "secret words" not in answer.text


async def test_other_methods_of_the_same_path_use_their_own_routes(client: httpx.AsyncClient) -> None:
    answer = await client.get("/things/a/b")

    assert answer.json() == {"name": "a", "rest": "b", "route": False}


async def test_an_unsupported_method_is_405_with_all_methods_of_the_path(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/things/a/b")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, PUT"


async def test_the_access_log_contains_the_path_template_of_a_direct_route(
    client: httpx.AsyncClient, log_lines: LogLines
) -> None:
    await client.put("/things/secret/x", content=b"body")

    (line,) = [line for line in log_lines() if line["event"] == "request"]
    assert line["route"] == "/things/{name}/{rest}"


async def test_a_direct_route_stays_in_the_openapi_document(app: FastAPI) -> None:
    assert set(app.openapi()["paths"]["/things/{name}/{rest}"]) == {"get", "put"}


def test_a_function_without_a_route_cannot_be_served_directly(app: FastAPI) -> None:
    async def unrouted(request: Request) -> Response:
        return Response()

    with pytest.raises(ValueError, match="unrouted"):
        serve_fast(app, unrouted)
