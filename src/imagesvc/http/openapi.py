"""The OpenAPI document: our problems in place of FastAPI's errors, and request bodies that we read ourselves.

Upload routes take `Request` and read its stream, so FastAPI knows nothing of their bodies: `multipart_files` and
`raw_file` describe them, as ``openapi_extra=`` of the route.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from imagesvc import errors
from imagesvc.db import DatabaseAway, DatabaseBusy
from imagesvc.http.problems import MEDIA_TYPE, SCHEMA_REF, BodyTooLarge, problems

# What Swagger UI shows a file picker for. FastAPI's own `contentMediaType` gets a text box (swagger-ui#10825).
_FILE = {"type": "string", "format": "binary"}

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457. Some problems have further members, for example `results` of an upload.",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "stable; `GET` it for an explanation"},
        "title": {"type": "string", "description": "the same for every problem of this type"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what was wrong with this request, and what to do"},
        "instance": {"type": "string", "description": "the request id, as in `X-Request-Id` and in our logs"},
        "errors": {
            "type": "array",
            "description": "of a 422: what is wrong where",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "JSON Pointer into the body; other parts by name, as in `/query/limit`",
                    },
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
_ASK_THE_DATABASE = ("/v1/", "/u/", "/s/")
_PARAMETERS = {
    "token": "the link's token; `-` when it comes as `Authorization: Bearer <token>`, where logs do not see it",
    "filename": "the name to keep; whatever it holds besides, only its last part counts",
    "slug": "the last part of a problem's `type`",
    "limit": "how many at the most",
    "cursor": "`next_cursor` of the page before",
}
_OTHER = {"description": "Any other failure", "content": {MEDIA_TYPE: {"schema": SCHEMA_REF}}}


def multipart_files(fields: Mapping[str, str], *, file: str) -> dict[str, Any]:
    """A multipart body of one or more `file` parts, and text fields that come before them: name -> description.

    Swagger UI sends the parts in the order of the schema, and a field applies to the files after it.
    """
    # Without a default Swagger UI fills in the word "string", and sends it.
    text_field = {"type": "string", "default": ""}
    properties: dict[str, Any] = {name: {**text_field, "description": text} for name, text in fields.items()}
    properties["file"] = {"type": "array", "items": _FILE, "minItems": 1, "description": file}
    schema = {"type": "object", "required": ["file"], "properties": properties}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def raw_file(description: str) -> dict[str, Any]:
    """A body that is the file."""
    content = {media_type: {"schema": _FILE} for media_type in ("application/octet-stream", "image/*")}
    return {"requestBody": {"required": True, "description": description, "content": content}}


def register(app: FastAPI) -> None:
    """Make ``app.openapi()`` tell how `app` really fails."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if "Problem" not in schemas:  # FastAPI made it anew: routes were added
            schemas["Problem"] = _PROBLEM
            _tell_problems(document)
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _tell_problems(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            kinds = _implied_failures(operation)
            responses = operation["responses"]
            for parameter in operation.get("parameters", ()):
                if text := _meaning(parameter["name"]):
                    parameter.setdefault("description", text)
            if "HTTPValidationError" in str(responses.get("422")):
                del responses["422"]
            for status, response in problems(*kinds).items():
                responses.setdefault(str(status), response)
            if path.startswith(_ASK_THE_DATABASE):
                _add(responses, problems(DatabaseAway, DatabaseBusy))
            responses.setdefault("default", _OTHER)
            operation["responses"] = dict(sorted(responses.items()))


def _meaning(name: str) -> str | None:
    """Of the parameters that many routes have, and of ids."""
    return _PARAMETERS.get(name) or (f"the {name.removesuffix('_id')}'s id" if name.endswith("_id") else None)


def _add(responses: dict[str, Any], more: Mapping[int | str, dict[str, Any]]) -> None:
    """Failures beside others that may have the same status."""
    for status, response in more.items():
        listed = responses.setdefault(str(status), response)
        if listed is not response:
            examples = listed["content"][MEDIA_TYPE]["examples"]
            told = response["content"][MEDIA_TYPE]["examples"]
            new = {slug: shown for slug, shown in told.items() if slug not in examples}
            listed["description"] = " · ".join((listed["description"], *(shown["summary"] for shown in new.values())))
            examples |= new


def _implied_failures(operation: dict[str, Any]) -> list[type[errors.ImagesvcError]]:
    """How an operation can fail because of what it takes, whether its route says so or not."""
    kinds: list[type[errors.ImagesvcError]] = []
    places = {parameter["in"] for parameter in operation.get("parameters", ())}
    content = operation.get("requestBody", {}).get("content", {})
    if operation.get("security"):
        kinds += [errors.Unauthenticated, errors.Forbidden]
    if "path" in places:
        kinds.append(errors.NotFound)
    if content:
        kinds.append(BodyTooLarge)
    if "application/json" in content:
        kinds.append(errors.Malformed)
    if content or places - {"path"}:
        kinds.append(errors.Invalid)
    return kinds
