"""The OpenAPI document: problems instead of FastAPI's errors, and request bodies that routes read themselves.

Upload routes read the stream of the request, so FastAPI does not know their bodies. ``multipart_files`` and
``raw_file`` describe them in ``openapi_extra=`` of the route.
"""

from collections.abc import Mapping

from fastapi import FastAPI

from imagesvc import errors
from imagesvc.db import DatabaseBusy
from imagesvc.db_connections import DatabaseAway
from imagesvc.http.problems import MEDIA_TYPE, SCHEMA_REF, BodyTooLarge, JsonObject, Responses, problems

# Swagger UI shows a file picker for this, but a text box for FastAPI's `contentMediaType` (swagger-ui#10825).
_FILE = {"type": "string", "format": "binary"}

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457. Some problems have further members, for example `results` of an upload.",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "stable; `GET` returns an explanation"},
        "title": {"type": "string", "description": "the same for every problem of this type"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what is wrong with this request and how to correct it"},
        "instance": {
            "type": "string",
            "description": "the request id, as in `X-Request-Id` and in the logs of the service",
        },
        "errors": {
            "type": "array",
            "description": "of a 422: each invalid value",
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
_USE_THE_DATABASE = ("/v1/", "/u/", "/s/")
_PARAMETERS = {
    "token": "the token of the link; `-` if it is in `Authorization: Bearer <token>`, which keeps it out of logs",
    "filename": "the name of the file; only its last path component is used",
    "slug": "the last part of a problem's `type`",
    "limit": "maximum number of items",
    "cursor": "`next_cursor` of the previous page",
}
_OTHER = {"description": "Any other failure", "content": {MEDIA_TYPE: {"schema": SCHEMA_REF}}}


def multipart_files(fields: Mapping[str, str], *, file: str) -> JsonObject:
    """A multipart body with text fields (name -> description) and one or more ``file`` parts after them.

    Swagger UI sends the parts in the order of the schema, and a field applies to the files after it.
    """
    # Without a default, Swagger UI fills in and sends the word "string".
    text_field = {"type": "string", "default": ""}
    properties: JsonObject = {name: {**text_field, "description": text} for name, text in fields.items()}
    properties["file"] = {"type": "array", "items": _FILE, "minItems": 1, "description": file}
    schema = {"type": "object", "required": ["file"], "properties": properties}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def raw_file(description: str) -> JsonObject:
    """A body that consists of one file."""
    content = {media_type: {"schema": _FILE} for media_type in ("application/octet-stream", "image/*")}
    return {"requestBody": {"required": True, "description": description, "content": content}}


def register(app: FastAPI) -> None:
    """Make ``app.openapi()`` list the problems that the app answers with."""
    generate = app.openapi

    def openapi() -> JsonObject:
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if "Problem" not in schemas:  # FastAPI generated a new document, because routes were added
            schemas["Problem"] = _PROBLEM
            _add_problems(document)
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _add_problems(document: JsonObject) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            kinds = _implied_failures(operation)
            responses = operation["responses"]
            for parameter in operation.get("parameters", ()):
                if text := _description_of(parameter["name"]):
                    parameter.setdefault("description", text)
            if "HTTPValidationError" in str(responses.get("422")):
                del responses["422"]
            for status, response in problems(*kinds).items():
                responses.setdefault(str(status), response)
            if path.startswith(_USE_THE_DATABASE):
                _add(responses, problems(DatabaseAway, DatabaseBusy))
            responses.setdefault("default", _OTHER)
            operation["responses"] = dict(sorted(responses.items()))


def _description_of(name: str) -> str | None:
    """The description of a parameter that many routes have, or of an id."""
    return _PARAMETERS.get(name) or (
        f"id of the {name.removesuffix('_id').replace('_', ' ')}" if name.endswith("_id") else None
    )


def _add(responses: JsonObject, more: Responses) -> None:
    """Add responses; problems of a status that is already listed are added to its examples."""
    for status, response in more.items():
        listed = responses.setdefault(str(status), response)
        if listed is not response:
            examples = listed["content"][MEDIA_TYPE]["examples"]
            added = response["content"][MEDIA_TYPE]["examples"]
            new = {slug: example for slug, example in added.items() if slug not in examples}
            listed["description"] = " · ".join(
                (listed["description"], *(example["summary"] for example in new.values()))
            )
            examples |= new


def _implied_failures(operation: JsonObject) -> list[type[errors.ImagesvcError]]:
    """The problems of an operation that follow from its parameters, its body and its security."""
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
