"""Parses multipart/form-data (RFC 7578) from a stream: one file after the other, with the fields before it."""

from collections.abc import AsyncIterator, Collection
from typing import TypeAlias

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser, parse_options_header

from imagesvc.http.filenames import clean_filename, filename_of
from imagesvc.settings import Settings
from imagesvc.uploads.errors import BrokenMultipart, NotMultipart, RequestTooLarge
from imagesvc.uploads.file_context import FIELDS

FILE_FIELDS = frozenset({"file", "files"})
NEXT_FILE_FIELDS = frozenset({"sha256"})

Event: TypeAlias = MultipartSegment | bytes | None
"""Of the parser: the head of a part, then chunks of its content, then None."""


class FilePart:
    """One file of the body. ``fields`` are the fields that apply to it, including those for the next file only."""

    def __init__(
        self, segment: MultipartSegment, filename: str, fields: dict[str, str], events: AsyncIterator[Event]
    ) -> None:
        self.filename = clean_filename(filename)
        self.repr_digest: str | None = segment.header("Repr-Digest")
        self.fields = fields
        self._events = events
        self._ended = False

    async def chunks(self) -> AsyncIterator[bytes]:
        while not self._ended:
            event = await anext(self._events)
            if event is None:
                self._ended = True
            else:
                yield event

    async def skip(self, *, max_bytes: int) -> bool:
        """Discard the unread rest of the file. Returns False when that is more than ``max_bytes``."""
        async for chunk in self.chunks():
            max_bytes -= len(chunk)
            if max_bytes < 0:
                return False
        return True


class MultipartBody:
    """Parses one request. ``warnings``, ``fields`` and ``unknown_fields`` are complete when ``files`` has ended."""

    def __init__(
        self,
        settings: Settings,
        content_type: str | None,
        stream: AsyncIterator[bytes],
        *,
        known_fields: Collection[str] = FIELDS | NEXT_FILE_FIELDS,
    ) -> None:
        """Raises NotMultipart and BrokenMultipart."""
        self._settings = settings
        self._stream = stream
        self._parser = _parser(settings, content_type)
        self.warnings: list[str] = []
        self.fields: dict[str, str] = {}
        self.unknown_fields: list[str] = []
        self._known_fields = known_fields
        self._unused_fields: set[str] = set()

    async def files(self) -> AsyncIterator[FilePart]:
        """The files in order. Raises BrokenMultipart and RequestTooLarge, also while a file is read."""
        events = self._events()
        async for event in events:
            if not isinstance(event, MultipartSegment):
                continue
            filename = _filename(event)
            if filename is not None or event.name in FILE_FIELDS:
                yield FilePart(event, filename or "", dict(self.fields), events)
                self._unused_fields.clear()
                for name in NEXT_FILE_FIELDS:
                    self.fields.pop(name, None)
            else:
                self._add_field(_text(event.name or "")[:100], await self._value(events))
        self.warnings += [
            f"No file follows the field {name!r}: it had no effect." for name in sorted(self._unused_fields)
        ]

    def _add_field(self, name: str, value: str) -> None:
        if name in self._known_fields:
            self.fields[name] = value
            self._unused_fields.add(name)
        else:
            self.unknown_fields.append(name)
            self.warnings.append(f"The field {name!r} is unknown and was ignored.")

    async def _value(self, events: AsyncIterator[Event]) -> str:
        value = bytearray()
        while (event := await anext(events)) is not None:
            value += event
            if len(value) > self._settings.max_field_bytes:
                raise RequestTooLarge(f"A field may have at most {self._settings.max_field_bytes} bytes.")
        return value.decode("utf-8", "replace")

    async def _events(self) -> AsyncIterator[Event]:
        try:
            async for chunk in self._stream:
                if chunk:
                    for event in self._parser.parse(chunk):
                        yield event
            self._parser.close()
        except ParserLimitReached as error:
            settings = self._settings
            limits = f"{settings.max_parts} parts, {settings.max_part_header_bytes} bytes in a header line of a part"
            raise RequestTooLarge(f"{error} (at most {limits}).") from error
        except MultipartError as error:
            raise BrokenMultipart(f"{error}.") from error


def _parser(settings: Settings, content_type: str | None) -> PushMultipartParser:
    media_type, options = parse_options_header(content_type or "")
    if media_type.lower() != "multipart/form-data":
        raise NotMultipart("Send `Content-Type: multipart/form-data; boundary=…`, as `curl -F` does.")
    if not options.get("boundary"):
        raise BrokenMultipart("The Content-Type has no boundary.")
    try:
        # latin-1 accepts any byte: a name in broken UTF-8 affects neither its file nor the other files
        return PushMultipartParser(
            options["boundary"],
            max_header_size=settings.max_part_header_bytes,
            max_segment_count=settings.max_parts,
            header_charset="latin-1",
        )
    except MultipartError as error:
        raise BrokenMultipart(str(error)) from error


def _filename(segment: MultipartSegment) -> str | None:
    plain = None if segment.filename is None else _text(segment.filename)
    return filename_of(segment.header("Content-Disposition") or "", plain)


def _text(latin1: str) -> str:
    return latin1.encode("latin-1", "replace").decode("utf-8", "replace")
