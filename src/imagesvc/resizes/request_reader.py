"""Reads a request for a resize as it streams in: the file wherever it stands, and what is wanted of it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from multipart import parse_options_header

from imagesvc.resizes.errors import NotAResize, UnknownBody
from imagesvc.resizes.schemas import NewResize
from imagesvc.settings import Settings
from imagesvc.uploads.batches.items import decoded
from imagesvc.uploads.batches.json_stream import JsonStream, Unreadable
from imagesvc.uploads.multipart import MultipartBody

TakeFile = Callable[[AsyncIterator[bytes]], Awaitable[None]]
Read = Callable[[TakeFile], Awaitable[NewResize]]
"""Hands the file to what it is given, if there is one. Raises pydantic's ValidationError for nonsense parameters."""

MAX_MEMBERS = 20


def reader(settings: Settings, content_type: str | None, stream: AsyncIterator[bytes]) -> Read:
    """By the declared type, JSON when there is none. Raises UnknownBody, BrokenMultipart."""
    kind = parse_options_header(content_type or "application/json")[0].lower()
    if kind == "multipart/form-data":
        body = MultipartBody(settings, content_type, stream, known_fields=NewResize.model_fields)

        async def read(take: TakeFile) -> NewResize:
            return await _multipart(body, take)

        return read
    if kind == "application/json" or kind.endswith("+json"):
        json_stream = JsonStream(stream)

        async def read(take: TakeFile) -> NewResize:
            return await _json(settings, json_stream, take)

        return read
    raise UnknownBody("Send `Content-Type: application/json` or `multipart/form-data`.")


async def _json(settings: Settings, stream: JsonStream, take: TakeFile) -> NewResize:
    found: dict[str, object] = {}
    if await stream.peek() != b"{":
        await stream.skip(max_bytes=settings.max_field_bytes)
        raise _wrong("", "An object is needed.")
    async for name in stream.members(max_count=MAX_MEMBERS):
        if name in found:
            raise _wrong(f"/{name}", "Given twice.")
        found[name] = None
        if name == "image" and await stream.peek() == b'"':
            await take(decoded(stream.string_pieces(), pointer="/image"))
            continue
        try:
            found[name] = await stream.value(max_bytes=settings.max_field_bytes)
        except Unreadable as error:
            raise _wrong(f"/{name}", str(error)) from error
        if name == "image" and found[name] is not None:
            raise _wrong("/image", "A string in base64 is needed.")
    await stream.end()
    found.pop("image", None)
    # as JSON, so that ids may be texts while a number has to be one
    return NewResize.model_validate_json(json.dumps(_given(found)), strict=True)


async def _multipart(body: MultipartBody, take: TakeFile) -> NewResize:
    is_there = False
    async for part in body.files():
        if is_there:
            raise _wrong("/file", "Given twice: a resize has one file.")
        is_there = True
        await take(part.chunks())
    if unknown := body.unknown_fields:
        raise _wrong(f"/{unknown[0]}", "This field is not known.")
    return NewResize.model_validate({name: value for name, value in body.fields.items() if value.strip()})


def _given(found: Mapping[str, object]) -> dict[str, object]:
    """Null means that nothing was said."""
    return {name: value for name, value in found.items() if value is not None}


def _wrong(pointer: str, detail: str) -> NotAResize:
    return NotAResize(detail, errors=[{"pointer": pointer, "detail": detail}])
