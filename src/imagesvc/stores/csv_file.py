"""A CSV file of stores as it comes in: rows, and lines that are none, each told with its number.

Python's csv module reads a block of whole lines at a time. A quoted value may go over several of them: one that is not
ended yet waits for the next block. A quote that is never ended costs its own line only: reading goes on below it.
"""

import codecs
import csv
import dataclasses
import io
from collections.abc import Sequence

from imagesvc.stores.errors import NotAStoreFile
from imagesvc.stores.schemas import MAX_CHARS

COLUMNS = ("AreaCode", "StoreName", "StoreID")
TIME_ZONE = "TimeZone"


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    line: int
    id: str
    name: str
    area: str
    time_zone: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Bad:
    line: int
    detail: str


class StoreFile:
    """Bytes in, rows out. ``has_time_zones`` is known once the first row is out."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._rest = ""
        self._lines_before = 0
        self._columns: list[str] = []
        self.has_time_zones = False

    def feed(self, data: bytes, *, is_last: bool = False) -> list[Row | Bad]:
        """What is complete by now. Raises NotAStoreFile."""
        lines = list(io.StringIO(self._rest + self._decoder.decode(data, is_last), newline=""))
        # a line that ends in CR may have its LF in the next block
        tail = lines.pop() if lines and not is_last and not lines[-1].endswith("\n") else ""
        found, read = self._read(lines, is_last=is_last)
        self._rest = "".join(lines[read:]) + tail
        self._lines_before += read
        if is_last and not self._columns:
            raise _no_columns("The file is empty.")
        return found

    def _read(self, lines: Sequence[str], *, is_last: bool) -> tuple[list[Row | Bad], int]:
        """The rows, and how many lines they took."""
        found: list[Row | Bad] = []
        read = 0
        while read < len(lines):
            begun = read
            reader = csv.reader((lines[n] for n in range(begun, len(lines))), strict=True)
            try:
                for values in reader:
                    self._take(values, self._lines_before + read + 1, found)
                    read = begun + reader.line_num
            except csv.Error:
                if begun + reader.line_num == len(lines) and not is_last:
                    break
                found.append(Bad(self._lines_before + read + 1, "This cannot be read as CSV."))
                read += 1
        return found, read

    def _take(self, values: list[str], line: int, found: list[Row | Bad]) -> None:
        stripped = [value.strip() for value in values]
        if not any(stripped):
            return
        if not self._columns:
            self._name_columns(stripped)
            return
        if len(stripped) != len(self._columns):
            found.append(Bad(line, f"{len(self._columns)} columns are needed, there are {len(stripped)}."))
            return
        told = dict(zip(self._columns, stripped, strict=True))
        if wrong := next((text for name in self._columns if (text := _wrong(name, told[name]))), None):
            found.append(Bad(line, wrong))
            return
        area, name, store_id = (told[column.lower()] for column in COLUMNS)
        found.append(Row(line, store_id, name, area, told.get(TIME_ZONE.lower()) or None))

    def _name_columns(self, names: Sequence[str]) -> None:
        columns = [name.lower() for name in names]
        known = {name.lower() for name in (*COLUMNS, TIME_ZONE)}
        missing = [name for name in COLUMNS if name.lower() not in columns]
        if missing or set(columns) - known or len(set(columns)) < len(columns):
            raise _no_columns("The first line names the columns: AreaCode,StoreName,StoreID and, if wanted, TimeZone.")
        self._columns = columns
        self.has_time_zones = TIME_ZONE.lower() in columns


def _wrong(column: str, value: str) -> str | None:
    name = next(known for known in (*COLUMNS, TIME_ZONE) if known.lower() == column)
    if not value:
        return None if name == TIME_ZONE else f"{name} is empty."
    if len(value) > MAX_CHARS:
        return f"{name} has more than {MAX_CHARS} characters."
    if "\x00" in value or not _is_unicode(value):
        return f"{name} is not UTF-8 text."
    return None


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_columns(detail: str) -> NotAStoreFile:
    return NotAStoreFile(detail, errors=[{"pointer": "", "detail": detail}])
