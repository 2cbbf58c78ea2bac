"""Reads a resize request as it streams in: its file, wherever it is in the body, and its parameters."""

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
ReadRequest = Callable[[TakeFile], Awaitable[NewResize]]
"""Passes the chunks of the file, if the request contains one, to its argument, and returns the parameters.

Raises NotAResize, pydantic's ValidationError for invalid parameters, and the errors of a broken body.
"""

MAX_MEMBERS = 20


def request_reader(settings: Settings, content_type: str | None, stream: AsyncIterator[bytes]) -> ReadRequest:
    """Choose a reader by the content type; the default is JSON. Raises UnknownBody and BrokenMultipart."""
    media_type = parse_options_header(content_type or "application/json")[0].lower()
    if media_type == "multipart/form-data":
        body = MultipartBody(settings, content_type, stream, known_fields=NewResize.model_fields)

        async def read(take: TakeFile) -> NewResize:
            return await _read_multipart(body, take)

        return read
    if media_type == "application/json" or media_type.endswith("+json"):
        json_stream = JsonStream(stream)

        async def read(take: TakeFile) -> NewResize:
            return await _read_json(settings, json_stream, take)

        return read
    raise UnknownBody("Send `Content-Type: application/json` or `multipart/form-data`.")


async def _read_json(settings: Settings, stream: JsonStream, take: TakeFile) -> NewResize:
    members: dict[str, object] = {}
    if await stream.peek() != b"{":
        await stream.skip(max_bytes=settings.max_field_bytes)
        raise _invalid("", "An object is required.")
    async for name in stream.members(max_count=MAX_MEMBERS):
        if name in members:
            raise _invalid(f"/{name}", "Given twice.")
        members[name] = None
        if name == "image" and await stream.peek() == b'"':
            await take(decoded(stream.string_pieces(), pointer="/image"))
            continue
        try:
            members[name] = await stream.value(max_bytes=settings.max_field_bytes)
        except Unreadable as error:
            raise _invalid(f"/{name}", str(error)) from error
        if name == "image" and members[name] is not None:
            raise _invalid("/image", "A string in base64 is required.")
    await stream.end()
    members.pop("image", None)
    # Validated as JSON: strict mode then accepts an id as a string, but no string as a number.
    return NewResize.model_validate_json(json.dumps(_without_nulls(members)), strict=True)


async def _read_multipart(body: MultipartBody, take: TakeFile) -> NewResize:
    has_file = False
    async for part in body.files():
        if has_file:
            raise _invalid("/file", "Given twice: a resize has one file.")
        has_file = True
        await take(part.chunks())
    if unknown := body.unknown_fields:
        raise _invalid(f"/{unknown[0]}", "This field is unknown.")
    return NewResize.model_validate({name: value for name, value in body.fields.items() if value.strip()})


def _without_nulls(members: Mapping[str, object]) -> dict[str, object]:
    """Null is the same as an absent member."""
    return {name: value for name, value in members.items() if value is not None}


def _invalid(pointer: str, detail: str) -> NotAResize:
    return NotAResize(detail, errors=[{"pointer": pointer, "detail": detail}])
