"""A pull parser for a JSON text (RFC 8259) that arrives in chunks, in bounded memory.

Strings are returned in pieces, so a file in base64 is never in memory as a whole. Every other value is small: it is
cut out by counting brackets, and the standard library parses it. A chunk costs a few C calls, and so does each token.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import NoReturn

from imagesvc.uploads.errors import BrokenJson, RequestTooLarge

MAX_DEPTH = 32
MAX_NAME_BYTES = 400
"""Of the name of a member, and of a number."""

MAX_SKIPPED_BYTES = 16 * 1024 * 1024
"""How much of an unwanted string is read and discarded to reach the next token. Beyond that, the request fails."""

_SPACE = re.compile(rb"[ \t\n\r]*")
_LITERAL = re.compile(rb"[^ \t\n\r\[\]{},:\"]*")
_STRUCTURE = re.compile(rb'[\[\]{}"]')
_NESTING = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}
_MAX_ESCAPE_BYTES = len(rb"\u002b")


class Unreadable(ValueError):
    """A value that cannot be decoded. The stream is positioned after it, so parsing can continue."""


class JsonStream:
    """A position between two tokens of the text. Every method raises BrokenJson for a truncated or invalid text.

    ``members`` and ``elements`` yield names and indexes. The caller must consume each value before the next one.
    """

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = b""
        self._at = 0
        self._bytes_before_buffer = 0

    async def peek(self) -> bytes:
        """The first byte of the next token."""
        while True:
            self._at = _SPACE.match(self._buffer, self._at).end()  # type: ignore[union-attr]  # always matches
            if self._at < len(self._buffer):
                return self._buffer[self._at : self._at + 1]
            await self._refill()

    async def expect(self, *wanted: bytes) -> bytes:
        """Consume the next byte, which must be one of these."""
        found = await self.peek()
        if found not in wanted:
            self._fail(f"{' or '.join(byte.decode() for byte in wanted)} is expected")
        self._at += 1
        return found

    async def end(self) -> None:
        """Read to the end of the text, which may contain only white space."""
        async for chunk in self._rest():
            if chunk.strip(b" \t\n\r"):
                self._fail("nothing may follow the end")

    async def members(self, *, max_count: int) -> AsyncIterator[str]:
        """The names of the members of an object. Raises RequestTooLarge for more than ``max_count``."""
        async for _ in self._separated(
            b"{", b"}", RequestTooLarge(f"An object may have {max_count} members."), max_count
        ):
            try:
                name = await self.string(max_bytes=MAX_NAME_BYTES)
            except Unreadable as error:
                self._fail(f"the name of a member cannot be read: {error}")
            await self.expect(b":")
            yield name

    async def elements(self, *, max_count: int) -> AsyncIterator[int]:
        """The indexes of an array. Raises RequestTooLarge for more than ``max_count``."""
        error = RequestTooLarge(f"At most {max_count} items are accepted in one request.")
        async for index in self._separated(b"[", b"]", error, max_count):
            yield index

    async def _separated(
        self, opening: bytes, closing: bytes, too_many: RequestTooLarge, max_count: int
    ) -> AsyncIterator[int]:
        """The indexes of a comma-separated list between two brackets."""
        await self.expect(opening)
        if await self.peek() == closing:
            self._at += 1
            return
        index = 0
        while True:
            if index >= max_count:
                raise too_many
            yield index
            index += 1
            if await self.expect(b",", closing) == closing:
                return

    async def string_pieces(self) -> AsyncIterator[bytes]:
        """The raw bytes between the quotes of a string, in pieces that never cut an escape in two."""
        await self.expect(b'"')
        kept = b""
        while True:
            if self._at == len(self._buffer):
                await self._refill()
            # Without kept bytes nothing is copied: a chunk may hold thousands of short strings.
            buffer = kept + self._buffer[self._at :] if kept else self._buffer
            start = 0 if kept else self._at
            quote = _closing_quote(buffer, start)
            if quote is not None:
                self._at = len(self._buffer) - (len(buffer) - quote) + 1
                if quote > start:
                    yield buffer[start:quote]
                return
            self._at = len(self._buffer)
            cut = _start_of_open_escape(buffer, start)
            kept = buffer[cut:]
            if cut > start:
                yield buffer[start:cut]

    async def string(self, *, max_bytes: int) -> str:
        """A string. Raises Unreadable, after its end, when it is longer than ``max_bytes`` or cannot be decoded."""
        raw = bytearray(b'"')
        is_too_long = False
        async for piece in self.string_pieces():
            is_too_long = is_too_long or len(raw) + len(piece) > max_bytes
            if not is_too_long:
                raw += piece
        if is_too_long:
            raise Unreadable(f"At most {max_bytes} bytes.")
        try:
            text: str = json.loads((raw + b'"').decode())
        except ValueError as error:
            raise Unreadable("The string is not UTF-8 with the escapes of JSON.") from error
        return text

    async def value(self, *, max_bytes: int) -> object:
        """Any value, as the standard library parses it.

        Raises Unreadable for a string that is too long or cannot be decoded, RequestTooLarge for another value that
        is too long.
        """
        first = await self.peek()
        if first == b'"':
            return await self.string(max_bytes=max_bytes)
        raw = await self._container(max_bytes) if first in b"[{" else await self._literal()
        try:
            value: object = json.loads(raw.decode(), parse_constant=_refuse_constant)
        except ValueError:
            self._fail("this is not a value")
        return value

    async def skip(self, *, max_bytes: int) -> None:
        """Read and discard any value. Raises RequestTooLarge when a value that is not a string is too long."""
        if await self.peek() == b'"':
            await skip_string(self.string_pieces())
        else:
            await self.value(max_bytes=max_bytes)

    async def _literal(self) -> bytes:
        raw = b""
        while True:
            raw += self._take_to(_LITERAL.match(self._buffer, self._at).end())  # type: ignore[union-attr]  # always matches
            if len(raw) > MAX_NAME_BYTES:
                raise RequestTooLarge(f"A number may have {MAX_NAME_BYTES} bytes.")
            if self._at < len(self._buffer) or not await self._has_more():
                return raw

    async def _container(self, max_bytes: int) -> bytes:
        raw = bytearray()
        depth = 0
        while True:
            found = _STRUCTURE.search(self._buffer, self._at)
            raw += self._take_to(found.end() if found else len(self._buffer))
            byte = found[0] if found else b""
            if byte == b'"':
                self._at -= 1  # string_pieces starts at the quote
                async for piece in self.string_pieces():
                    raw += piece
                    _require_at_most(max_bytes, raw)
                raw += b'"'
            depth += _NESTING.get(byte, 0)
            _require_at_most(max_bytes, raw)
            if depth > MAX_DEPTH:
                raise RequestTooLarge(f"Values may be nested {MAX_DEPTH} deep.")
            if depth == 0:
                # The loop may have looked at tens of thousands of brackets: let other tasks run.
                await asyncio.sleep(0)
                return bytes(raw)
            if not found:
                await self._refill()

    def _take_to(self, end: int) -> bytes:
        taken, self._at = self._buffer[self._at : end], end
        return taken

    async def _refill(self) -> None:
        if not await self._has_more():
            self._fail("the text ends too early")

    async def _has_more(self) -> bool:
        """Replace the consumed buffer by the next chunk. Returns False at the end of the stream."""
        self._bytes_before_buffer += len(self._buffer)
        self._buffer, self._at = b"", 0
        while not self._buffer:
            try:
                self._buffer = await anext(self._chunks)
            except StopAsyncIteration:
                return False
        return True

    async def _rest(self) -> AsyncIterator[bytes]:
        yield self._buffer[self._at :]
        async for chunk in self._chunks:
            self._bytes_before_buffer += len(self._buffer)
            self._buffer, self._at = chunk, 0
            yield chunk

    def _fail(self, reason: str) -> NoReturn:
        raise BrokenJson(f"At byte {self._bytes_before_buffer + self._at}: {reason}.")


async def skip_string(pieces: AsyncIterator[bytes]) -> None:
    """Read and discard the rest of a string. Raises RequestTooLarge beyond MAX_SKIPPED_BYTES."""
    left = MAX_SKIPPED_BYTES
    async for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise RequestTooLarge("The rest was not read: an unused string was too long to skip.")


def _closing_quote(buffer: bytes, start: int) -> int | None:
    """The position of the first quote that no backslash escapes."""
    while (quote := buffer.find(b'"', start)) >= 0:
        if _backslashes_before(buffer, start, quote) % 2 == 0:
            return quote
        start = quote + 1
    return None


def _backslashes_before(buffer: bytes, start: int, end: int) -> int:
    if end == start or buffer[end - 1 : end] != b"\\":
        return 0
    return end - start - len(buffer[start:end].rstrip(b"\\"))


def _start_of_open_escape(buffer: bytes, start: int) -> int:
    """Where an incomplete escape at the end of the buffer starts; the length of the buffer if there is none."""
    for at in range(max(start, len(buffer) - _MAX_ESCAPE_BYTES + 1), len(buffer)):
        is_escape = buffer[at : at + 1] == b"\\" and _backslashes_before(buffer, start, at) % 2 == 0
        if is_escape and len(buffer) - at < _escape_bytes(buffer, at):
            return at
    return len(buffer)


def _escape_bytes(buffer: bytes, at: int) -> int:
    return _MAX_ESCAPE_BYTES if buffer[at + 1 : at + 2] == b"u" else 2


def _require_at_most(max_bytes: int, raw: bytearray) -> None:
    if len(raw) > max_bytes:
        raise RequestTooLarge(f"A value that is not a file may have {max_bytes} bytes.")


def _refuse_constant(name: str) -> NoReturn:
    """NaN and Infinity are not JSON."""
    raise ValueError(name)
