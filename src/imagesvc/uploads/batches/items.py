"""The items of a JSON batch while it arrives: their fields, and the bytes of their files decoded from base64."""

import re
from collections.abc import AsyncIterator, Mapping

import pybase64

from imagesvc.errors import Invalid
from imagesvc.http.filenames import clean_filename
from imagesvc.links.service import OpenLink
from imagesvc.settings import Settings
from imagesvc.uploads.admission import FileDescription
from imagesvc.uploads.batches.json_stream import JsonStream, Unreadable, skip_string
from imagesvc.uploads.errors import BadContext, Base64Broken, NoFile, NotABatch
from imagesvc.uploads.file_context import FIELDS, parse_context
from imagesvc.uploads.service import expected_sha256

MAX_MEMBERS = 100
MAX_WARNINGS = 20
MAX_UNKNOWN = 200
"""How many names of unknown members are remembered."""
MAX_ERRORS = 10
"""How many errors of one item are reported."""
TEXTS: Mapping[str, str] = {name: name for name in (*FIELDS, "filename", "sha256")} | {"timestamp": "captured_at"}
"""The members of an item other than `file`, and the field that each one fills."""

_ESCAPED_ASCII = re.compile(rb"\\u00([0-7][0-9a-fA-F])")


class JsonItem:
    """One item of a batch.

    Call ``find_file``, ``chunks`` and ``finish`` in this order. Then ``fields`` and ``errors`` are complete.
    """

    def __init__(self, json: JsonStream, settings: Settings, pointer: str, unknown: set[str]) -> None:
        self.pointer = pointer
        self.fields: dict[str, str] = {}
        self.errors: list[dict[str, str]] = []
        self._sent_pointers: dict[str, str] = {}
        """The pointers to fields whose member has another name than the field."""
        self._json = json
        self._max_bytes = settings.max_field_bytes
        self._unknown = unknown
        self._file: AsyncIterator[bytes] | None = None
        self._steps = self._read_members()

    @property
    def filename(self) -> str:
        return clean_filename(self.fields.get("filename", ""))

    async def find_file(self) -> bool:
        """Read up to the first byte of the file. Returns False when the item has no file."""
        return await anext(self._steps, False)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the file. Raises Base64Broken."""
        if self._file is not None:
            async for chunk in decoded(self._file, pointer=f"{self.pointer}/file"):
                yield chunk

    async def finish(self) -> None:
        """Read the rest of the item and discard the rest of its file. Raises RequestTooLarge when that is too long."""
        async for _ in self._steps:
            pass

    def problem(self) -> Invalid | None:
        """The error that refuses this item, with pointers; None when it has none."""
        if self.errors:
            return BadContext(errors=self.errors)
        if self._file is None:
            missing = {"pointer": f"{self.pointer}/file", "detail": "The file in base64 is required."}
            return NoFile("The item has no `file`.", errors=[missing])
        return None

    def description(self, link: OpenLink | None) -> FileDescription:
        """The context and the digest of the finished item.

        Raises BadContext with pointers to the members as they were sent.
        """
        try:
            return FileDescription(
                context=parse_context(self.fields, filename=self.filename, link=link, at=self.pointer),
                expected_sha256=expected_sha256(self.fields, None, at=self.pointer),
            )
        except BadContext as error:
            for entry in error.errors:
                entry["pointer"] = self._sent_pointers.get(entry["pointer"], entry["pointer"])
            raise

    async def _read_members(self) -> AsyncIterator[bool]:
        """Read all members. Yields True once, at the file, and continues when the caller asks for the next step."""
        if await self._json.peek() != b"{":
            self._add_error("", "An object is required.")
            await self._json.skip(max_bytes=self._max_bytes)
            return
        seen: set[str] = set()
        async for name in self._json.members(max_count=MAX_MEMBERS):
            if not self._is_first(name, seen):
                await self._json.skip(max_bytes=self._max_bytes)
            elif name == "file" and await self._json.peek() == b'"':
                self._file = self._json.string_pieces()
                yield True
                await skip_string(self._file)
            elif name == "file" or name in TEXTS:
                await self._read_text(name)
            else:
                remember_unknown(self._unknown, name)
                await self._json.skip(max_bytes=self._max_bytes)

    def _is_first(self, name: str, seen: set[str]) -> bool:
        field = TEXTS.get(name, name)
        if field in seen:
            self._add_error(_pointer(name), "Given twice." if field == name else f"Given twice: also as `{field}`.")
            return False
        seen.add(field)
        return True

    async def _read_text(self, name: str) -> None:
        pointer = _pointer(name)
        try:
            value = await self._json.value(max_bytes=self._max_bytes)
        except Unreadable as error:
            self._add_error(pointer, str(error))
            return
        if isinstance(value, str):
            field = TEXTS.get(name, name)
            self.fields[field] = value
            self._sent_pointers[f"{self.pointer}/{field}"] = self.pointer + pointer
        elif value is not None:
            self._add_error(pointer, "A string in base64 is required." if name == "file" else "A string is required.")

    def _add_error(self, pointer: str, detail: str) -> None:
        if len(self.errors) < MAX_ERRORS:
            self.errors.append({"pointer": self.pointer + pointer, "detail": detail})


class JsonBatchBody:
    """Reads one request: ``{"images": [item, …]}`` or only the array. ``warnings`` is complete when it has ended."""

    def __init__(self, settings: Settings, stream: AsyncIterator[bytes]) -> None:
        self._settings = settings
        self._json = JsonStream(stream)
        self._unknown: set[str] = set()

    @property
    def warnings(self) -> list[str]:
        names = sorted(self._unknown)
        warnings = [f"The member {name!r} is unknown and was ignored." for name in names[:MAX_WARNINGS]]
        if len(names) > MAX_WARNINGS:
            more = "many" if len(names) == MAX_UNKNOWN else len(names) - MAX_WARNINGS
            warnings.append(f"{more} more unknown members were ignored.".capitalize())
        return warnings

    async def items(self) -> AsyncIterator[JsonItem]:
        """The items in order. Raises BrokenJson, RequestTooLarge and NotABatch, also while an item is read."""
        first = await self._json.peek()
        if first == b"[":
            async for item in self._array(""):
                yield item
        elif first == b"{":
            async for item in self._wrapped():
                yield item
        else:
            await self._skip()
            raise _not_a_batch("", "An array of images, or an object with `images`, is required.")
        await self._json.end()

    async def _wrapped(self) -> AsyncIterator[JsonItem]:
        has_images = False
        async for name in self._json.members(max_count=MAX_MEMBERS):
            if name != "images":
                remember_unknown(self._unknown, name)
                await self._skip()
                continue
            if has_images:
                raise _not_a_batch("/images", "Given twice.")
            has_images = True
            if await self._json.peek() != b"[":
                await self._skip()
                raise _not_a_batch("/images", "An array is required.")
            async for item in self._array("/images"):
                yield item
        if not has_images:
            raise _not_a_batch("/images", "The images are missing.")

    async def _array(self, pointer: str) -> AsyncIterator[JsonItem]:
        async for index in self._json.elements(max_count=self._settings.max_parts):
            yield JsonItem(self._json, self._settings, f"{pointer}/{index}", self._unknown)

    async def _skip(self) -> None:
        await self._json.skip(max_bytes=self._settings.max_field_bytes)


async def decoded(pieces: AsyncIterator[bytes], *, pointer: str) -> AsyncIterator[bytes]:
    """Decode the base64 of a JSON string: RFC 4648 with padding; line breaks are ignored, as in MIME.

    Raises Base64Broken with ``pointer``.
    """
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
    """Replace the escapes that base64 may contain. Any other escape stays, and decoding then fails."""
    if b"\\\\" in piece:
        return piece
    for escape, character in ((b"\\/", b"/"), (b"\\n", b""), (b"\\r", b"")):
        piece = piece.replace(escape, character)
    return _ESCAPED_ASCII.sub(lambda code: bytes.fromhex(code[1].decode()), piece)


def remember_unknown(unknown: set[str], name: str) -> None:
    if len(unknown) < MAX_UNKNOWN:
        unknown.add(name[:100])


def _pointer(name: str) -> str:
    """The JSON pointer (RFC 6901) of a member."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _base64_broken(pointer: str) -> Base64Broken:
    detail = "Base64 of RFC 4648 is required: A-Z a-z 0-9 + / with padding, without `data:` before it."
    return Base64Broken(errors=[{"pointer": pointer, "detail": detail}])


def _not_a_batch(pointer: str, detail: str) -> NotABatch:
    return NotABatch(detail, errors=[{"pointer": pointer, "detail": detail}])
