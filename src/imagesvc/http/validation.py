"""Turns validation errors of FastAPI and Pydantic into problems with ``errors: [{"pointer", "detail"}]``.

A pointer (RFC 6901) refers to the body: ``/expires_in``, ``/visits/0/store_id``, empty for the whole body. For other
parts of a request it starts with the name of the part: ``/query/limit``, ``/header/if-match``. Values from the request
are not repeated. An invalid id in the path is 404; a body that is not JSON is 400.
"""

from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator
from pydantic.config import JsonDict

from imagesvc.errors import ImagesvcError, Invalid, Malformed, NotFound


def _require_whole(value: object) -> object:
    """A number without a fraction, as JSON Schema defines an integer: 3.0 is one, but neither "3" nor true."""
    if isinstance(value, bool) or not isinstance(value, int | float) or (isinstance(value, float) and value % 1 != 0):
        raise ValueError("Input should be a valid integer")
    return int(value)


WHOLE = BeforeValidator(_require_whole)
"""For an integer in a JSON body, after its ``Field``: texts are refused."""

MAX_ERRORS = 100
_MAX_NAME_CHARS = 100

# For these, the texts of the library repeat values from the request.
_OWN_TEXTS = {
    "uuid_parsing": "Input should be a valid UUID",
    "union_tag_invalid": "Input has an unknown type",
    "value_error": "Input is not valid",
}
_PREFIXES = ("Value error, ", "Assertion failed, ")


def without_null(schema: JsonDict) -> None:
    """For ``json_schema_extra`` of a member that may be left out, but must not be null."""
    options = schema.pop("anyOf", [])
    assert isinstance(options, list)  # noqa: S101 - what pydantic generates for an optional type
    for option in options:
        if isinstance(option, dict) and option.get("type") != "null":
            schema.update(option)
    schema.pop("default", None)


def failure_of(error: RequestValidationError, content_type: str | None) -> ImagesvcError:
    """The ImagesvcError for a validation error."""
    found = list(error.errors())
    if any(item["loc"][0] == "path" for item in found):
        return NotFound()
    if found and found[0]["type"] == "json_invalid":
        return Malformed(f"The body is not valid JSON: {found[0]['ctx']['error']} at character {found[0]['loc'][1]}.")
    errors = [{"pointer": _pointer(item["loc"]), "detail": _text(item, content_type)} for item in found[:MAX_ERRORS]]
    first = errors[0] if errors else {"pointer": "", "detail": Invalid.title}
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return Invalid(f"{first['pointer'] or 'body'}: {first['detail']}{more}", errors=errors)


def _pointer(loc: tuple[str | int, ...]) -> str:
    part, *names = loc
    path = names if part == "body" else loc
    return "".join("/" + str(name)[:_MAX_NAME_CHARS].replace("~", "~0").replace("/", "~1") for name in path)


def _text(item: dict[str, Any], content_type: str | None) -> str:
    is_whole_body = tuple(item["loc"]) == ("body",)
    if is_whole_body and item["type"] != "missing" and "json" not in (content_type or ""):
        return "The body must be JSON with Content-Type: application/json"
    text: str = item["msg"]
    for prefix in _PREFIXES:
        if text.startswith(prefix):  # validators of this service
            return text.removeprefix(prefix)
    return _OWN_TEXTS.get(item["type"], text)
