"""A JSON text (RFC 8259) as it arrives: read by asking for what should come next, in memory that does not grow.

Strings are handed out in pieces, so that a file in base64 is never in memory as a whole. Everything else is small: it
is cut out by its brackets and read by the standard library. A chunk costs a few C calls, and so does each token.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any, NoReturn

from imagesvc.uploads.errors import BrokenJson, RequestTooLarge

MAX_DEPTH = 32
MAX_NAME_BYTES = 400
"""Of a member's name, and of a number."""

MAX_SKIPPED_BYTES = 16 * 1024 * 1024
"""How much of a string that nobody wants is read past to reach what follows; then the request is given up."""

_SPACE = re.compile(rb"[ \t\n\r]*")
_BARE = re.compile(rb"[^ \t\n\r\[\]{},:\"]*")
_STRUCTURE = re.compile(rb'[\[\]{}"]')
_LONGEST_ESCAPE = len(rb"\u002b")


class Unreadable(ValueError):
    """A value that was read past: its place in the text is clear, what it says is not."""


class JsonStream:
    """Positioned between two tokens. Every method raises BrokenJson when the text ends too soon or is no JSON.

    ``members`` and ``elements`` hand out a name or an index; the value must be taken before the next is asked for.
    """

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = b""
        self._at = 0
        self._before = 0

    async def peek(self) -> bytes:
        """The first byte of what comes next."""
        while True:
            self._at = _SPACE.match(self._buffer, self._at).end()  # type: ignore[union-attr]  # matches anything
            if self._at < len(self._buffer):
                return self._buffer[self._at : self._at + 1]
            await self._refill()

    async def expect(self, *wanted: bytes) -> bytes:
        """Takes the one of these bytes that comes next."""
        found = await self.peek()
        if found not in wanted:
            self._broken(f"{' or '.join(byte.decode() for byte in wanted)} is needed")
        self._at += 1
        return found

    async def end(self) -> None:
        """Nothing but white space follows."""
        async for chunk in self._rest():
            if chunk.strip(b" \t\n\r"):
                self._broken("nothing may follow the end")

    async def members(self, *, most: int) -> AsyncIterator[str]:
        """The names of an object's members. Raises RequestTooLarge for more than ``most``."""
        await self.expect(b"{")
        count = 0
        if await self.peek() == b"}":
            self._at += 1
            return
        while True:
            count += 1
            if count > most:
                raise RequestTooLarge(f"An object may have {most} members.")
            try:
                name = await self.string(max_bytes=MAX_NAME_BYTES)
            except Unreadable as error:
                self._broken(f"the name of a member cannot be read: {error}")
            await self.expect(b":")
            yield name
            if await self.expect(b",", b"}") == b"}":
                return

    async def elements(self, *, most: int) -> AsyncIterator[int]:
        """The indexes of an array. Raises RequestTooLarge for more than ``most``."""
        await self.expect(b"[")
        index = 0
        if await self.peek() == b"]":
            self._at += 1
            return
        while True:
            if index >= most:
                raise RequestTooLarge(f"At most {most} items are taken in one request.")
            yield index
            index += 1
            if await self.expect(b",", b"]") == b"]":
                return

    async def string_pieces(self) -> AsyncIterator[bytes]:
        """The bytes between a string's quotes as they were sent, in pieces that cut no escape in two."""
        await self.expect(b'"')
        kept = b""
        while True:
            if self._at == len(self._buffer):
                await self._refill()
            buffer = kept + self._buffer[self._at :] if kept else self._buffer
            begin = 0 if kept else self._at
            quote = _end_of_string(buffer, begin)
            if quote is not None:
                self._at = len(self._buffer) - (len(buffer) - quote) + 1
                if quote > begin:
                    yield buffer[begin:quote]
                return
            self._at = len(self._buffer)
            cut = _start_of_open_escape(buffer, begin)
            kept = buffer[cut:]
            if cut > begin:
                yield buffer[begin:cut]

    async def string(self, *, max_bytes: int) -> str:
        """A string. Raises Unreadable when it is longer or cannot be read; it is read past all the same."""
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
            raise Unreadable("It is no text in UTF-8 with the escapes of JSON.") from error
        return text

    async def value(self, *, max_bytes: int) -> Any:
        """Any value. Raises Unreadable for a string that is longer or unreadable, RequestTooLarge for anything else."""
        first = await self.peek()
        if first == b'"':
            return await self.string(max_bytes=max_bytes)
        raw = await self._container(max_bytes) if first in b"[{" else await self._bare()
        try:
            return json.loads(raw.decode(), parse_constant=_refuse)
        except ValueError:
            self._broken("this is no value")

    async def skip(self, *, max_bytes: int) -> None:
        """Reads past any value, whatever it says. Raises RequestTooLarge when anything but a string is longer."""
        if await self.peek() == b'"':
            await skip_string(self.string_pieces())
        else:
            await self.value(max_bytes=max_bytes)

    async def _bare(self) -> bytes:
        raw = b""
        while True:
            end = _BARE.match(self._buffer, self._at).end()  # type: ignore[union-attr]  # matches anything
            raw += self._buffer[self._at : end]
            self._at = end
            if len(raw) > MAX_NAME_BYTES:
                raise RequestTooLarge(f"A number may have {MAX_NAME_BYTES} bytes.")
            if end < len(self._buffer) or not await self._is_more():
                return raw

    async def _container(self, max_bytes: int) -> bytes:
        raw = bytearray()
        depth = 0
        while True:
            found = _STRUCTURE.search(self._buffer, self._at)
            end = found.end() if found else len(self._buffer)
            byte = found[0] if found else b""
            if byte == b'"':
                raw += self._buffer[self._at : end]
                self._at = end - 1
                async for piece in self.string_pieces():
                    raw += piece
                    _bound(raw, max_bytes)
                raw += b'"'
            else:
                raw += self._buffer[self._at : end]
                self._at = end
                depth += (byte in (b"[", b"{")) - (byte in (b"]", b"}"))
            _bound(raw, max_bytes)
            if depth > MAX_DEPTH:
                raise RequestTooLarge(f"Values may be nested {MAX_DEPTH} deep.")
            if depth == 0 and byte:
                # tens of thousands of brackets were looked at one by one: others have their turn now
                await asyncio.sleep(0)
                return bytes(raw)
            if not found:
                await self._refill()

    async def _refill(self) -> None:
        if not await self._is_more():
            self._broken("the text ends too soon")

    async def _is_more(self) -> bool:
        """Whether another chunk has come in the place of the one that is read to its end."""
        self._before += len(self._buffer)
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
            self._before, self._buffer, self._at = self._before + len(self._buffer), chunk, 0
            yield chunk

    def _broken(self, what: str) -> NoReturn:
        raise BrokenJson(f"At byte {self._before + self._at}: {what}.")


async def skip_string(pieces: AsyncIterator[bytes]) -> None:
    """Reads past what is left of a string. Raises RequestTooLarge when that is out of all proportion."""
    left = MAX_SKIPPED_BYTES
    async for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise RequestTooLarge("What followed was not read: a text that nobody wants was too long to skip.")


def _end_of_string(buffer: bytes, begin: int) -> int | None:
    """Where the quote is that no backslash takes away."""
    while (quote := buffer.find(b'"', begin)) >= 0:
        if _backslashes_before(buffer, begin, quote) % 2 == 0:
            return quote
        begin = quote + 1
    return None


def _backslashes_before(buffer: bytes, begin: int, end: int) -> int:
    if end == begin or buffer[end - 1 : end] != b"\\":
        return 0
    return end - begin - len(buffer[begin:end].rstrip(b"\\"))


def _start_of_open_escape(buffer: bytes, begin: int) -> int:
    """Where to cut a buffer without a closing quote, so that what may be the first part of an escape is kept."""
    for at in range(max(begin, len(buffer) - _LONGEST_ESCAPE + 1), len(buffer)):
        is_escape = buffer[at : at + 1] == b"\\" and _backslashes_before(buffer, begin, at) % 2 == 0
        if is_escape and len(buffer) - at < _length_of_escape(buffer, at):
            return at
    return len(buffer)


def _length_of_escape(buffer: bytes, at: int) -> int:
    return _LONGEST_ESCAPE if buffer[at + 1 : at + 2] == b"u" else 2


def _bound(raw: bytearray, max_bytes: int) -> None:
    if len(raw) > max_bytes:
        raise RequestTooLarge(f"A value that is no file may have {max_bytes} bytes.")


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)
