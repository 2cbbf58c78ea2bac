"""``Idempotency-Key`` for routes: ``idempotent_json`` if FastAPI reads the body, otherwise ``idempotent_stream``.

Without the header, both only execute the operation.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import Header, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from imagesvc.db import new_id
from imagesvc.http.idempotency import (
    Answer,
    AnswerUnreadable,
    Done,
    Fingerprint,
    IdempotencyKeys,
    KeyInUse,
    KeyReused,
)
from imagesvc.http.web_parts import web_part

IDEMPOTENCY_PROBLEMS = (KeyInUse, KeyReused, AnswerUnreadable)
"""For the ``responses=`` of a route that takes the header."""
REPLAYED = {"Idempotency-Replayed": "true"}
KEPT_HEADERS = ("content-type", "location")

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x20-\x7e]+$",
        description="Chosen by the client, different for each request, stored for a day. The same request with the "
        "same key is not executed again and gets the same answer, with `Idempotency-Replayed: true`.",
    ),
]


async def idempotent_json(
    request: Request,
    caller_id: UUID,
    key: str | None,
    work: Callable[[UUID], Awaitable[BaseModel]],
    *,
    status: int,
) -> Response:
    """The answer of a route whose body FastAPI has read. ``work`` gets an id for the resource that it creates.

    Raises the errors of ``work``, KeyInUse and KeyReused.
    """

    async def respond(resource_id: UUID) -> Response:
        return _json(await work(resource_id), status)

    if key is None:
        return await respond(new_id())
    return await idempotent_response(request, caller_id, key, await request.body(), respond)


async def idempotent_response(
    request: Request, caller_id: UUID, key: str, body: bytes, work: Callable[[UUID], Awaitable[Response]]
) -> Response:
    """The answer of ``work``, or its stored answer if the request is repeated. Raises as ``idempotent_json`` does."""
    keys = web_part(request, IdempotencyKeys)
    fingerprint = Fingerprint(_operation(request))
    fingerprint.update(body)
    begun = await keys.begin(caller_id, key, fingerprint=fingerprint.digest())
    if isinstance(begun, Done):
        if begun.fingerprint != fingerprint.digest():
            raise KeyReused
        return _replayed(begun.answer)
    async with keys.renewed(begun):
        response = await work(begun.resource_id)
    await keys.store(begun, fingerprint, _answer(response))
    return response


async def idempotent_stream(
    request: Request,
    caller_id: UUID,
    key: str | None,
    stream: AsyncIterator[bytes],
    work: Callable[[AsyncIterator[bytes]], Awaitable[Response]],
) -> Response:
    """The answer of a route that reads its body from the stream that ``work`` gets.

    Bodies can only be compared at their end, so the body of a repetition is read without any other effect. If ``work``
    does not read the body to its end, there is no fingerprint and nothing is stored.
    Raises the errors of ``work``, KeyInUse before the body is read, and KeyReused as soon as a difference is known.
    """
    if key is None:
        return await work(stream)
    keys = web_part(request, IdempotencyKeys)
    begun = await keys.begin(caller_id, key, fingerprint=None)
    if isinstance(begun, Done):
        await _require_same(begun, request, stream)
        return _replayed(begun.answer)
    read = _FingerprintedStream(stream, Fingerprint(_operation(request)))
    async with keys.renewed(begun):
        response = await work(read)
    if read.has_ended and response.status_code < 300:
        await keys.store(begun, read.fingerprint, _answer(response))
    else:
        await keys.release(begun)
    return response


class _FingerprintedStream:
    """A stream that updates a fingerprint while it is read."""

    def __init__(self, stream: AsyncIterator[bytes], fingerprint: Fingerprint) -> None:
        self._stream = stream
        self.fingerprint = fingerprint
        self.has_ended = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._stream)
        except StopAsyncIteration:
            self.has_ended = True
            raise
        self.fingerprint.update(chunk)
        return chunk


async def _require_same(done: Done, request: Request, stream: AsyncIterator[bytes]) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) != done.body_bytes:
        raise KeyReused
    fingerprint = Fingerprint(_operation(request))
    async for chunk in stream:
        fingerprint.update(chunk)
        if fingerprint.body_bytes > done.body_bytes:
            raise KeyReused
    if fingerprint.digest() != done.fingerprint:
        raise KeyReused


def _operation(request: Request) -> str:
    return f"{request.method} {request.scope['path']}?{request.url.query}"


def _json(answer: BaseModel, status: int) -> Response:
    return JSONResponse(answer.model_dump(mode="json"), status)


def _answer(response: Response) -> Answer:
    headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    return Answer(status=response.status_code, headers=headers, body=bytes(response.body))


def _replayed(answer: Answer) -> Response:
    return Response(answer.body, answer.status, {**answer.headers, **REPLAYED})
