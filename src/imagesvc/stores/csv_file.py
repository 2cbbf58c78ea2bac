"""Parses a CSV file of stores (RFC 4180) as it streams in: stores, and errors with their line numbers.

Python's csv module parses a block of whole lines at a time. A quoted value may span several lines: one that is not
closed yet waits for the next block. A quote that is never closed invalidates its own line only; parsing continues with
the next line.
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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CsvStore:
    """A valid row, which starts in line ``line``."""

    line: int
    id: str
    name: str
    area: str
    time_zone: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CsvError:
    """An invalid row, which starts in line ``line``."""

    line: int
    detail: str


CsvRow = CsvStore | CsvError


class StoreFile:
    """An incremental parser. ``has_time_zones`` is known when ``feed`` has returned the first row."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._rest = ""
        self._lines_before = 0
        self._columns: list[str] = []
        self.has_time_zones = False

    def feed(self, data: bytes, *, is_last: bool = False) -> list[CsvRow]:
        """The rows that are complete with this block. Raises NotAStoreFile."""
        lines = list(io.StringIO(self._rest + self._decoder.decode(data, is_last), newline=""))
        # a line that ends in CR may have its LF in the next block
        tail = lines.pop() if lines and not is_last and not lines[-1].endswith("\n") else ""
        rows, lines_read = self._parse(lines, is_last=is_last)
        self._rest = "".join(lines[lines_read:]) + tail
        self._lines_before += lines_read
        if is_last and not self._columns:
            raise _bad_columns("The file is empty.")
        return rows

    def _parse(self, lines: Sequence[str], *, is_last: bool) -> tuple[list[CsvRow], int]:
        """The rows, and the number of lines that they have."""
        rows: list[CsvRow] = []
        lines_read = 0
        while lines_read < len(lines):
            start = lines_read
            reader = csv.reader((lines[n] for n in range(start, len(lines))), strict=True)
            try:
                for values in reader:
                    self._add_row(values, self._lines_before + lines_read + 1, rows)
                    lines_read = start + reader.line_num
            except csv.Error:
                if start + reader.line_num == len(lines) and not is_last:
                    break
                rows.append(CsvError(line=self._lines_before + lines_read + 1, detail="The line is not valid CSV."))
                lines_read += 1
        return rows, lines_read

    def _add_row(self, values: list[str], line: int, rows: list[CsvRow]) -> None:
        stripped = [value.strip() for value in values]
        if not any(stripped):
            return
        if not self._columns:
            self._set_columns(stripped)
            return
        if len(stripped) != len(self._columns):
            detail = f"The row must have {len(self._columns)} columns, but has {len(stripped)}."
            rows.append(CsvError(line=line, detail=detail))
            return
        by_column = dict(zip(self._columns, stripped, strict=True))
        errors = (_error_in(name, by_column[name]) for name in self._columns)
        if error := next((error for error in errors if error is not None), None):
            rows.append(CsvError(line=line, detail=error))
            return
        area, name, store_id = (by_column[column.lower()] for column in COLUMNS)
        time_zone = by_column.get(TIME_ZONE.lower()) or None
        rows.append(CsvStore(line=line, id=store_id, name=name, area=area, time_zone=time_zone))

    def _set_columns(self, names: Sequence[str]) -> None:
        columns = [name.lower() for name in names]
        known = {name.lower() for name in (*COLUMNS, TIME_ZONE)}
        missing = [name for name in COLUMNS if name.lower() not in columns]
        if missing or set(columns) - known or len(set(columns)) < len(columns):
            raise _bad_columns(
                "The first line must name the columns: AreaCode, StoreName, StoreID and, optionally, TimeZone."
            )
        self._columns = columns
        self.has_time_zones = TIME_ZONE.lower() in columns


def _error_in(column: str, value: str) -> str | None:
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


def _bad_columns(detail: str) -> NotAStoreFile:
    return NotAStoreFile(detail, errors=[{"pointer": "", "detail": detail}])
