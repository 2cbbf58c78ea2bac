"""The docs page and the OpenAPI document."""

import re
from html.parser import HTMLParser
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Query, Request
from fastapi.security import HTTPBearer
from pydantic import BaseModel

from imagesvc.errors import Conflict
from imagesvc.http import docs
from imagesvc.http.openapi import multipart_files, raw_file
from imagesvc.http.problems import problems


class Body(BaseModel):
    expires_in: int


class References(HTMLParser):
    """Collects the URLs that a page references, and its inline scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline = ""
        self._in_script = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("href", "src") and value]
        self._in_script = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        self.inline += data if self._in_script else ""


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    app.title = "images </title><script>"
    docs.register(app)

    @app.post("/v1/links", responses=problems(Conflict), dependencies=[Depends(HTTPBearer())])
    async def create_link(body: Body) -> None: ...

    @app.get("/v1/links/{id}")
    async def read_link(id: int) -> None: ...

    @app.get("/v1/links")
    async def list_links(limit: Annotated[int, Query(le=200)] = 50) -> None: ...

    @app.post("/u/{token}", openapi_extra=multipart_files({"store_id": "the store"}, file="images"))
    async def upload(token: str, request: Request) -> None: ...

    @app.put("/u/{token}/{name}", openapi_extra=raw_file("the image"))
    async def put(token: str, name: str, request: Request) -> None: ...

    return app


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    document: dict[str, Any] = (await client.get("/openapi.json")).json()
    return document


async def test_the_docs_page_uses_no_other_host_and_no_inline_script(client: httpx.AsyncClient) -> None:
    answer = await client.get("/docs")
    page = References(answer.text)

    assert len(page.found) == 4
    assert not [reference for reference in page.found if "//" in reference or reference.startswith("/")]
    assert page.inline == ""
    assert "script-src 'self';" in answer.headers["content-security-policy"]
    assert "'unsafe" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize("at", range(4))
async def test_every_file_that_the_docs_page_references_is_served(client: httpx.AsyncClient, at: int) -> None:
    reference = References((await client.get("/docs")).text).found[at]

    answer = await client.get(f"/{reference}")

    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] in ("text/css", "text/javascript", "image/png")
    assert len(answer.content) > 200


async def test_swagger_ui_is_version_5_and_supports_openapi_3_1(
    client: httpx.AsyncClient, document: dict[str, Any]
) -> None:
    bundle = (await client.get("/docs/swagger-ui-bundle.js")).text

    assert re.search(r'PACKAGE_VERSION:"5\.\d+\.\d+"', bundle)
    assert document["openapi"].startswith("3.1")


async def test_swagger_ui_does_not_use_the_external_validator(client: httpx.AsyncClient) -> None:
    start = (await client.get("/docs/start.js")).text

    assert 'url: "openapi.json"' in start
    assert "validatorUrl: null" in start
    assert "//" not in start


async def test_other_files_of_the_package_are_not_served(client: httpx.AsyncClient) -> None:
    assert (await client.get("/docs/__init__.py")).status_code == 404


@pytest.mark.parametrize("path", ["/openapi.json", "/docs/swagger-ui.css"])
async def test_a_matching_if_none_match_is_304_without_a_body(client: httpx.AsyncClient, path: str) -> None:
    first = await client.get(path)

    again = await client.get(path, headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")


async def test_a_route_added_after_the_first_request_is_in_the_document(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    await client.get("/openapi.json")

    @app.get("/late")
    async def late(limit: int) -> None: ...

    document = (await client.get("/openapi.json")).json()

    assert "422" in document["paths"]["/late"]["get"]["responses"]
    assert "HTTPValidationError" not in str(document)


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        ("/v1/links", "post", ["200", "400", "401", "403", "409", "413", "422", "503", "default"]),
        ("/v1/links", "get", ["200", "422", "503", "default"]),
        ("/v1/links/{id}", "get", ["200", "404", "503", "default"]),
        ("/u/{token}", "post", ["200", "404", "413", "422", "503", "default"]),
    ],
)
async def test_an_operation_lists_its_own_problems_and_those_of_its_inputs(
    document: dict[str, Any], path: str, method: str, statuses: list[str]
) -> None:
    responses = document["paths"][path][method]["responses"]

    assert list(responses) == statuses
    kinds = {media_type for status in statuses[1:] for media_type in responses[status]["content"]}
    assert kinds == {"application/problem+json"}


async def test_every_failure_uses_the_problem_schema_of_the_service(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in str(document)
    assert set(document["components"]["schemas"]["Problem"]["required"]) == {"type", "title", "status"}


async def test_a_failure_has_an_example_problem(document: dict[str, Any]) -> None:
    content = document["paths"]["/v1/links"]["post"]["responses"]["409"]["content"]["application/problem+json"]

    assert content["examples"]["conflict"]["value"]["type"] == "/problems/conflict"


async def test_file_bodies_are_binary_so_that_swagger_ui_shows_a_file_picker(document: dict[str, Any]) -> None:
    content = document["paths"]["/u/{token}"]["post"]["requestBody"]["content"]["multipart/form-data"]
    raw = document["paths"]["/u/{token}/{name}"]["put"]["requestBody"]["content"]["application/octet-stream"]

    properties = content["schema"]["properties"]
    assert list(properties) == ["store_id", "file"]  # a field applies to the files after it
    assert properties["file"]["items"] == {"type": "string", "format": "binary"}
    assert raw["schema"] == {"type": "string", "format": "binary"}
