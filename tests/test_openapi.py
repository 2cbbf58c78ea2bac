"""The OpenAPI document and its page: complete, with examples, and without other hosts."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.support.contract import Contract, openapi_document
from tests.support.service import Service

Operation = dict[str, Any]
HOST = re.compile(r"""https?://([^\s/"'`<>)]+)""")


@pytest.fixture
def document() -> dict[str, Any]:
    return openapi_document()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, Operation]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def operations_without(document: dict[str, Any], has: Callable[[Operation], Any]) -> list[str]:
    return [name for name, operation in operations(document) if not has(operation)]


def schema_of(document: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = content.get("schema", {})
    return document["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def has_example(document: dict[str, Any], content: dict[str, Any]) -> bool:
    """Whether an example is in the content, in its schema, or in the schema of the items of a page."""
    schema = schema_of(document, content)
    items = schema.get("properties", {}).get("items", {}).get("items", {})
    shown = content.keys() | schema.keys() | schema_of(document, {"schema": items}).keys()
    return bool(shown & {"example", "examples"})


def test_every_operation_has_summary_description_and_tags(document: dict[str, Any]) -> None:
    assert operations_without(document, lambda operation: operation.get("summary")) == []
    assert operations_without(document, lambda operation: operation.get("description")) == []
    assert operations_without(document, lambda operation: operation.get("tags")) == []


def test_every_parameter_has_a_description(document: dict[str, Any]) -> None:
    undescribed = [
        f"{name}: {parameter['name']}"
        for name, operation in operations(document)
        for parameter in operation.get("parameters", ())
        if not parameter.get("description")
    ]

    assert undescribed == []


def test_every_json_request_and_response_has_an_example(document: dict[str, Any]) -> None:
    bodies = [
        (f"{name} {status}", message.get("content", {}).get("application/json"))
        for name, operation in operations(document)
        for status, message in [("body", operation.get("requestBody", {})), *operation["responses"].items()]
    ]

    assert [
        name for name, content in bodies if content and content["schema"] and not has_example(document, content)
    ] == []


def nullable(schema: dict[str, Any]) -> set[str]:
    """The nullable members. FastAPI omits members that are null from examples."""
    return {name for name, member in schema["properties"].items() if "'type': 'null'" in str(member)}


def test_an_example_has_exactly_the_members_of_its_schema(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    examples = [
        (name, set(example), set(schema["properties"]), set(schema.get("required", ())) - nullable(schema))
        for name, schema in schemas.items()
        for example in schema.get("examples", ())
        if "properties" in schema
    ]

    assert [name for name, shown, known, required in examples if not required <= shown <= known] == []
    assert len(examples) > 5


def test_every_file_body_is_declared_as_binary(document: dict[str, Any]) -> None:
    contents = [
        (name, media_type, content)
        for name, operation in operations(document)
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items()
        if media_type.startswith(("multipart/", "image/", "application/octet-stream"))
    ]

    assert len(contents) >= 4
    assert [name for name, _, content in contents if '"format": "binary"' not in str(content).replace("'", '"')] == []


def test_every_failure_is_a_problem_with_an_example(document: dict[str, Any]) -> None:
    failures = [
        (f"{name} {status}", response.get("content", {}))
        for name, operation in operations(document)
        for status, response in operation["responses"].items()
        if status[0] in "45"
    ]

    assert [name for name, content in failures if list(content) != ["application/problem+json"]] == []
    assert [name for name, content in failures if not content["application/problem+json"]["examples"]] == []


STATUSES_BY_MARKER = {
    "security": {"401", "403"},
    "'application/json': {'schema': {'$ref'": {"422"},
    "'in': 'query'": {"422"},
    "'in': 'path'": {"404"},
}


@pytest.mark.parametrize(("marker", "statuses"), STATUSES_BY_MARKER.items())
def test_operations_of_a_kind_list_its_statuses(document: dict[str, Any], marker: str, statuses: set[str]) -> None:
    of_kind = [
        (name, set(operation["responses"]))
        for name, operation in operations(document)
        if marker in str({**operation, "responses": None})
    ]

    assert len(of_kind) > 1
    assert [name for name, listed in of_kind if not statuses <= listed] == []


def test_operations_that_use_the_database_list_503(document: dict[str, Any]) -> None:
    using = [(name, operation) for name, operation in operations(document) if " /v1" in name or " /u" in name]

    missing = [name for name, operation in using if "database-away" not in str(operation["responses"].get("503"))]

    assert missing == []


def test_the_document_names_no_other_host(document: dict[str, Any]) -> None:
    hosts = set(HOST.findall(str(document)))

    assert {host for host in hosts if not host.endswith("example.org")} == set()


UPLOADS = {"400", "401", "410", "413", "415", "422", "503"}
STATUSES = [
    ("POST /v1/links", {"201"}),
    ("GET /v1/links", {"200", "400"}),
    ("PATCH /v1/links/{link_id}", {"200", "404", "422"}),
    ("DELETE /v1/links/{link_id}", {"204", "404"}),
    ("GET /u/{token}", {"200", "401", "410"}),
    ("POST /u/{token}", {"200", "201", *UPLOADS}),
    ("PUT /u/{token}/{filename}", {"200", "201", *UPLOADS}),
    ("POST /v1/images", {"200", "201", *UPLOADS} - {"410"}),
    ("GET /v1/images/{image_id}", {"200", "304", "404"}),
    ("GET /v1/uploads/{upload_id}", {"200", "304", "404"}),
    ("DELETE /v1/images/{image_id}", {"204", "404"}),
    ("GET /v1/images/{image_id}/original", {"200", "206", "304", "404", "412", "416", "503"}),
    (
        "GET /v1/images/{image_id}/renditions/{preset}.{form}",
        {"200", "206", "304", "404", "409", "412", "416", "503"},
    ),
    ("GET /u/{token}/uploads/{upload_id}", {"200", "304", "401", "404", "410"}),
    ("GET /u/{token}/uploads/{upload_id}/thumb.webp", {"200", "206", "304", "401", "404", "410", "416", "503"}),
    ("GET /v1/stats", {"200", "422"}),
    ("GET /readyz", {"200", "503"}),
]


@pytest.mark.parametrize(("name", "statuses"), STATUSES)
def test_an_operation_lists_its_statuses(document: dict[str, Any], name: str, statuses: set[str]) -> None:
    assert statuses - set(dict(operations(document))[name]["responses"]) == set()


async def test_the_page_and_the_document_are_public_and_name_no_other_host(
    idle_service: Service, document: dict[str, Any]
) -> None:
    page = await idle_service.anyone.get("/docs")
    served = await idle_service.anyone.get("/openapi.json")
    files = [await idle_service.anyone.get(f"/{name}") for name in re.findall(r'(?:src|href)="([^"]+)"', page.text)]

    assert served.json() == document
    assert HOST.findall(page.text) == []
    assert [answer.status_code for answer in files] == [200] * 4


async def test_an_unlisted_response_fails_the_test_that_receives_it() -> None:
    contract = Contract({"paths": {"/u/{token}/{filename}": {"put": {"responses": {"201": {}, "default": {}}}}}})
    request = httpx.Request("PUT", "http://service/u/abc/folder/a.jpg")

    await contract.hold(httpx.Response(201, request=request))
    with pytest.raises(AssertionError, match="does not document 500"):
        await contract.hold(httpx.Response(500, request=request))
