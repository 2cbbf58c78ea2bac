"""Hooks of schemathesis: values that no schema can describe, and a serializer for the bodies of tus."""

import uuid
from typing import Any

import schemathesis
from schemathesis import GenerationMode


@schemathesis.hook
def before_call(_context: schemathesis.HookContext, case: schemathesis.Case[Any], _kwargs: dict[str, Any]) -> None:
    """Replace values of valid requests that are valid for the schema only."""
    if case.meta is not None and case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    query: dict[str, Any] = case.query or {}
    headers: Any = case.headers or {}
    body = case.body
    query.pop("cursor", None)  # a cursor is signed, so no generated one belongs to a query
    if "tz" in query:
        query["tz"] = "Europe/Berlin"  # no pattern describes the IANA time zones
    for name in headers:
        if name.lower() == "idempotency-key":
            headers[name] = str(uuid.uuid4())  # the same key with another body is 422 by design
    if isinstance(body, dict) and body.get("time_zone"):
        body["time_zone"] = "Europe/Berlin"


@schemathesis.serializer("application/offset+octet-stream")
def offset_stream(_context: schemathesis.SerializationContext, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")
