"""multipart/form-data (RFC 7578) as it streams in: files one after the other, and the fields that go before them."""

from collections.abc import AsyncIterator, Collection
from typing import Any

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser, parse_options_header

from imagesvc.http.filenames import clean_filename
from imagesvc.settings import Settings
from imagesvc.uploads.errors import BrokenMultipart, NotMultipart, RequestTooLarge
from imagesvc.uploads.file_context import FIELDS

FILE_FIELDS = frozenset({"file", "files"})
NEXT_FILE_FIELDS = frozenset({"sha256"})


class FilePart:
    """One file of the body. ``fields`` are those that hold for it, the next-file ones included."""

    def __init__(self, segment: MultipartSegment, fields: dict[str, str], rest: AsyncIterator[Any]) -> None:
        self.filename = clean_filename(_text(segment.filename or ""))
        self.repr_digest: str | None = segment.header("Repr-Digest")
        self.fields = fields
        self._rest = rest
        self._ended = False

    async def chunks(self) -> AsyncIterator[bytes]:
        while not self._ended:
            event = await anext(self._rest)
            if event is None:
                self._ended = True
            else:
                yield event

    async def skip(self, *, max_bytes: int) -> bool:
        """Read past what is left of a file that nobody wants; False when that is more than ``max_bytes``."""
        async for chunk in self.chunks():
            max_bytes -= len(chunk)
            if max_bytes < 0:
                return False
        return True


class MultipartBody:
    """Reads one request. ``warnings``, ``fields`` and ``unknown_fields`` are complete once ``files`` has ended."""

    def __init__(
        self,
        settings: Settings,
        content_type: str | None,
        stream: AsyncIterator[bytes],
        *,
        known_fields: Collection[str] = FIELDS | NEXT_FILE_FIELDS,
    ) -> None:
        kind, options = parse_options_header(content_type or "")
        if kind.lower() != "multipart/form-data":
            raise NotMultipart("Send `Content-Type: multipart/form-data; boundary=…`, as `curl -F` does.")
        if not options.get("boundary"):
            raise BrokenMultipart("The Content-Type names no boundary.")
        self._settings = settings
        self._stream = stream
        try:
            # latin-1 takes any byte: a name in broken UTF-8 harms neither its file nor the others
            self._parser = PushMultipartParser(
                options["boundary"],
                max_header_size=settings.max_part_header_bytes,
                max_segment_count=settings.max_parts,
                header_charset="latin-1",
            )
        except MultipartError as error:
            raise BrokenMultipart(str(error)) from error
        self.warnings: list[str] = []
        self.fields: dict[str, str] = {}
        self.unknown_fields: list[str] = []
        self._known_fields = known_fields

    async def files(self) -> AsyncIterator[FilePart]:
        """The files in order. Raises BrokenMultipart and RequestTooLarge, in the middle of a file too."""
        fields = self.fields
        unused: set[str] = set()
        events = self._events()
        async for event in events:
            if not isinstance(event, MultipartSegment):
                continue
            if event.filename is not None or event.name in FILE_FIELDS:
                part = FilePart(event, dict(fields), events)
                yield part
                unused.clear()
                for name in NEXT_FILE_FIELDS:
                    fields.pop(name, None)
                continue
            name, value = _text(event.name or "")[:100], await self._value(events)
            if name not in self._known_fields:
                self.unknown_fields.append(name)
                self.warnings.append(f"The field {name!r} is not known and was ignored.")
                continue
            fields[name] = value
            unused.add(name)
        self.warnings += [f"No file follows the field {name!r}: it had no effect." for name in sorted(unused)]

    async def _value(self, events: AsyncIterator[Any]) -> str:
        value = bytearray()
        while (event := await anext(events)) is not None:
            value += event
            if len(value) > self._settings.max_field_bytes:
                raise RequestTooLarge(f"A field may have {self._settings.max_field_bytes} bytes.")
        return value.decode("utf-8", "replace")

    async def _events(self) -> AsyncIterator[Any]:
        """The parser's events: a segment, its chunks, None at its end; for all segments."""
        try:
            async for chunk in self._stream:
                if chunk:
                    for event in self._parser.parse(chunk):
                        yield event
            self._parser.close()
        except ParserLimitReached as error:
            settings = self._settings
            limits = f"{settings.max_parts} parts, {settings.max_part_header_bytes} bytes in a line of their headers"
            raise RequestTooLarge(f"{error} (at most {limits}).") from error
        except MultipartError as error:
            raise BrokenMultipart(f"{error}.") from error


def _text(latin1: str) -> str:
    return latin1.encode("latin-1", "replace").decode("utf-8", "replace")
