"""The items of a JSON batch as it streams in: what is told about each file, and its bytes out of base64."""

import re
from collections.abc import AsyncIterator, Mapping

import pybase64

from imagesvc.errors import Invalid
from imagesvc.http.filenames import clean_filename
from imagesvc.links.service import OpenLink
from imagesvc.settings import Settings
from imagesvc.uploads.admission import Told
from imagesvc.uploads.batches.json_stream import JsonStream, Unreadable, skip_string
from imagesvc.uploads.errors import BadContext, Base64Broken, NoFile, NotABatch
from imagesvc.uploads.file_context import FIELDS, parse_context
from imagesvc.uploads.service import expected_sha256

MAX_MEMBERS = 100
MAX_WARNINGS = 20
MAX_UNKNOWN = 200
"""How many names of members are kept that nobody knows."""
MAX_WRONG = 10
"""How many mistakes of one item are told."""
TEXTS: Mapping[str, str] = {name: name for name in (*FIELDS, "filename", "sha256")} | {"timestamp": "captured_at"}
"""The members of an item beside `file`, and the field that each one fills."""

_CODE = re.compile(rb"\\u00([0-7][0-9a-fA-F])")


class JsonItem:
    """One item. In this order: ``find_file``, ``chunks``, ``finish``; then ``fields`` and ``wrong`` are complete."""

    def __init__(self, json: JsonStream, settings: Settings, pointer: str, unknown: set[str]) -> None:
        self.pointer = pointer
        self.fields: dict[str, str] = {}
        self.wrong: list[dict[str, str]] = []
        self._written: dict[str, str] = {}
        self._json = json
        self._max_bytes = settings.max_field_bytes
        self._unknown = unknown
        self._file: AsyncIterator[bytes] | None = None
        self._walk = self._walked()

    @property
    def filename(self) -> str:
        return clean_filename(self.fields.get("filename", ""))

    async def find_file(self) -> bool:
        """Read up to the first byte of the file; False when the item has ended without one."""
        return await anext(self._walk, False)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The file. Raises Base64Broken."""
        if self._file is not None:
            async for chunk in decoded(self._file, pointer=f"{self.pointer}/file"):
                yield chunk

    async def finish(self) -> None:
        """Read to the end of the item, past what is left of its file. Raises RequestTooLarge when that is too long."""
        async for _ in self._walk:
            pass

    def problem(self) -> Invalid | None:
        """What is wrong with this item, with pointers."""
        if self.wrong:
            return BadContext(errors=self.wrong)
        if self._file is None:
            missing = {"pointer": f"{self.pointer}/file", "detail": "The file in base64 is needed."}
            return NoFile("The item has no `file`.", errors=[missing])
        return None

    def told(self, link: OpenLink | None) -> Told:
        """The context and the digest of the finished item. Raises BadContext with pointers to what was written."""
        try:
            context = parse_context(self.fields, filename=self.filename, link=link, at=self.pointer)
            return context, expected_sha256(self.fields, None, at=self.pointer)
        except BadContext as error:
            for wrong in error.extra["errors"]:
                wrong["pointer"] = self._written.get(wrong["pointer"], wrong["pointer"])
            raise

    async def _walked(self) -> AsyncIterator[bool]:
        """Takes every member; stops at the file for as long as somebody reads it."""
        if await self._json.peek() != b"{":
            self._note("", "An object is needed.")
            await self._json.skip(max_bytes=self._max_bytes)
            return
        seen: set[str] = set()
        async for name in self._json.members(most=MAX_MEMBERS):
            field = TEXTS.get(name, name)
            pointer = "/" + name.replace("~", "~0").replace("/", "~1")
            if field in seen:
                self._note(pointer, "Given twice." if field == name else f"Given twice: it is `{field}` as well.")
                await self._json.skip(max_bytes=self._max_bytes)
                continue
            seen.add(field)
            if name == "file" and await self._json.peek() == b'"':
                self._file = self._json.string_pieces()
                yield True
                await skip_string(self._file)
            elif name == "file" or field in TEXTS:
                await self._take_text(name, field, pointer)
            else:
                note_unknown(self._unknown, name)
                await self._json.skip(max_bytes=self._max_bytes)

    async def _take_text(self, name: str, field: str, pointer: str) -> None:
        try:
            value = await self._json.value(max_bytes=self._max_bytes)
        except Unreadable as error:
            self._note(pointer, str(error))
            return
        if value is None:
            return
        if isinstance(value, str):
            self.fields[field] = value
            self._written[f"{self.pointer}/{field}"] = self.pointer + pointer
        else:
            self._note(pointer, "A string in base64 is needed." if name == "file" else "A string is needed.")

    def _note(self, pointer: str, detail: str) -> None:
        if len(self.wrong) < MAX_WRONG:
            self.wrong.append({"pointer": self.pointer + pointer, "detail": detail})


class JsonBatchBody:
    """Reads one request: ``{"images": [item, …]}`` or the array alone. ``warnings`` is complete once it has ended."""

    def __init__(self, settings: Settings, stream: AsyncIterator[bytes]) -> None:
        self._settings = settings
        self._json = JsonStream(stream)
        self._unknown: set[str] = set()

    @property
    def warnings(self) -> list[str]:
        names = sorted(self._unknown)
        told = [f"The member {name!r} is not known and was ignored." for name in names[:MAX_WARNINGS]]
        if len(names) > MAX_WARNINGS:
            more = "many" if len(names) == MAX_UNKNOWN else len(names) - MAX_WARNINGS
            told.append(f"So were {more} more.")
        return told

    async def items(self) -> AsyncIterator[JsonItem]:
        """The items in order. Raises BrokenJson, RequestTooLarge and NotABatch, in the middle of an item too."""
        first = await self._json.peek()
        if first == b"[":
            async for item in self._array(""):
                yield item
        elif first == b"{":
            async for item in self._wrapped():
                yield item
        else:
            await self._json.skip(max_bytes=self._settings.max_field_bytes)
            raise _not_a_batch("", "An array of images, or an object with `images`, is needed.")
        await self._json.end()

    async def _wrapped(self) -> AsyncIterator[JsonItem]:
        is_there = False
        async for name in self._json.members(most=MAX_MEMBERS):
            if name != "images":
                note_unknown(self._unknown, name)
                await self._json.skip(max_bytes=self._settings.max_field_bytes)
                continue
            if is_there:
                raise _not_a_batch("/images", "Given twice.")
            is_there = True
            if await self._json.peek() != b"[":
                await self._json.skip(max_bytes=self._settings.max_field_bytes)
                raise _not_a_batch("/images", "An array is needed.")
            async for item in self._array("/images"):
                yield item
        if not is_there:
            raise _not_a_batch("/images", "The images are missing.")

    async def _array(self, pointer: str) -> AsyncIterator[JsonItem]:
        async for index in self._json.elements(most=self._settings.max_parts):
            yield JsonItem(self._json, self._settings, f"{pointer}/{index}", self._unknown)


async def decoded(pieces: AsyncIterator[bytes], *, pointer: str) -> AsyncIterator[bytes]:
    """The bytes that a JSON string says in base64 (RFC 4648, padded; line breaks are passed over, as mail has them)."""
    kept = b""
    is_padded = False
    async for piece in pieces:
        text = kept + (_unescaped(piece) if b"\\" in piece else piece)
        if is_padded and text:
            raise _base64_broken(pointer)
        whole = len(text) & ~3
        kept = text[whole:]
        if whole:
            is_padded = text[whole - 1 : whole] == b"="
            try:
                yield pybase64.b64decode(memoryview(text)[:whole], validate=True)
            except ValueError as error:
                raise _base64_broken(pointer) from error
    if kept:
        raise _base64_broken(pointer)


def _unescaped(piece: bytes) -> bytes:
    """A piece of a JSON string without the escapes that base64 has a use for; any other is left, to be refused."""
    if b"\\\\" in piece:
        return piece
    for escape, meant in ((b"\\/", b"/"), (b"\\n", b""), (b"\\r", b"")):
        piece = piece.replace(escape, meant)
    return _CODE.sub(lambda code: bytes.fromhex(code[1].decode()), piece)


def note_unknown(unknown: set[str], name: str) -> None:
    if len(unknown) < MAX_UNKNOWN:
        unknown.add(name[:100])


def _base64_broken(pointer: str) -> Base64Broken:
    detail = "Base64 as RFC 4648 has it is needed: A-Z a-z 0-9 + / with its padding, and no `data:` before it."
    return Base64Broken(errors=[{"pointer": pointer, "detail": detail}])


def _not_a_batch(pointer: str, detail: str) -> NotABatch:
    return NotABatch(detail, errors=[{"pointer": pointer, "detail": detail}])
