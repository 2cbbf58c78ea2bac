"""Invalid requests become problem documents that name each invalid member or parameter."""

from typing import Annotated, Literal
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI, Header, Query
from pydantic import BaseModel, Field

from .conftest import LogLines


class Visit(BaseModel):
    store: Annotated[str, Field(alias="a/b~c")]
    kind: Literal["till", "shelf"]


class Body(BaseModel):
    expires_in: int = Field(gt=0)
    visits: list[Visit] = []
    link: UUID | None = None


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    @app.post("/body")
    async def body(body: Body) -> None: ...

    @app.get("/query")
    async def query(limit: Annotated[int, Query(le=200)], if_match: Annotated[int | None, Header()] = None) -> None: ...

    @app.get("/v1/items/{id}")
    async def read(id: UUID) -> None: ...

    return app


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"expires_in": 0}, "/expires_in"),
        ({}, "/expires_in"),
        ({"expires_in": 1, "visits": [{"a/b~c": "x", "kind": "till"}, {"kind": "till"}]}, "/visits/1/a~1b~0c"),
        ([], ""),
    ],
)
async def test_an_invalid_body_is_422_with_a_json_pointer_to_the_member(
    client: httpx.AsyncClient, body: object, pointer: str
) -> None:
    answer = await client.post("/body", json=body)

    assert answer.status_code == 422
    assert answer.json()["type"] == "/problems/invalid-request"
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_an_invalid_query_parameter_or_header_is_422_with_a_pointer_to_it(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/query?limit=1000", headers={"If-Match": "x"})

    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/query/limit", "/header/if-match"]


@pytest.mark.parametrize(
    "body",
    [
        {"expires_in": "hunter2-hunter2"},
        {"expires_in": 1, "link": "hunter2-hunter2"},
        {"expires_in": 1, "visits": [{"a/b~c": "x", "kind": "hunter2-hunter2"}]},
    ],
)
async def test_neither_the_response_nor_the_log_repeats_invalid_values(
    client: httpx.AsyncClient, log_lines: LogLines, body: dict[str, object]
) -> None:
    answer = await client.post("/body", json=body)

    assert answer.status_code == 422
    assert "hunter2" not in answer.text + str(log_lines())
    assert "`h`" not in answer.text


async def test_a_body_that_is_not_json_is_400_with_the_position(client: httpx.AsyncClient) -> None:
    answer = await client.post("/body", content=b'{"expires_in": ', headers={"content-type": "application/json"})

    assert answer.status_code == 400
    assert answer.json()["type"] == "/problems/malformed-request"
    assert "character 15" in answer.json()["detail"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 900])
async def test_a_body_that_the_json_parser_cannot_decode_is_400(client: httpx.AsyncClient, content: bytes) -> None:
    answer = await client.post("/body", content=content, headers={"content-type": "application/json"})

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_without_the_json_content_type_is_422_with_the_required_type(client: httpx.AsyncClient) -> None:
    answer = await client.post("/body", content=b'{"expires_in": 3}', headers={"content-type": "text/plain"})

    assert answer.status_code == 422
    assert "Content-Type: application/json" in answer.json()["errors"][0]["detail"]


async def test_at_most_100_errors_are_listed_and_the_rest_is_counted(client: httpx.AsyncClient) -> None:
    answer = await client.post("/body", json={"expires_in": 1, "visits": [0] * 300})

    assert len(answer.json()["errors"]) == 100
    assert "299 more" in answer.json()["detail"]


async def test_a_member_name_with_a_lone_surrogate_is_422(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/body",
        content=b'{"expires_in": "\\ud800", "visits": {"\\udc00": 1}}',
        headers={"content-type": "application/json"},
    )

    assert answer.status_code == 422
    assert answer.json()["errors"]


async def test_a_malformed_id_in_the_path_is_404(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/items/not-an-id")

    assert answer.status_code == 404
    assert answer.json()["type"] == "/problems/not-found"
