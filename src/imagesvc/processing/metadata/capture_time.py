"""Reads the capture time by the camera's clock, and the offset of that clock from UTC, if it can be determined.

DateTimeOriginal with its own sub-seconds and offset comes first, then CreateDate with its own. OffsetTime counts only
where the time has no offset of its own. Next comes the difference from the GPS time, rounded to a quarter of an hour,
if that offset is in use anywhere and plausible at the longitude: the fix may be hours old. Otherwise the offset is
unknown; it is never assumed to be UTC.

A time that is present but malformed is replaced by another one only if both name the same day.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Literal

from imagesvc.processing.headers.tiff_directory import Directory
from imagesvc.processing.metadata.tags import Notes, numbers, text
from imagesvc.processing.metadata.xmp import Properties

_OFFSET_TIME = 0x9010
_GPS_TIME, _GPS_DATE = 7, 29

_TIME = re.compile(
    r"(\d{4})[:\-/.](\d{1,2})[:\-/.](\d{1,2})[ T]+(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.,](\d+))?)?"
    r"\s*(Z|[+-]\d{1,2}(?::?\d{2})?)?(?:\s+(?:DST|daylight|standard))?",
    re.IGNORECASE,
)
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?", re.IGNORECASE)
_PARTIAL_HOUR_OFFSETS = {-570, -210, -150, 210, 270, 330, 345, 390, 525, 570, 630, 765, 825}
"""In minutes: the offsets in use since GPS exists that are no whole hours."""
_MIN_OFFSET, _MAX_OFFSET = -12 * 60, 14 * 60
_MAX_MINUTES_FROM_SUN = 120
"""Between an offset and the mean solar time of its longitude."""
_DAY = re.compile(r"\D*(\d{4})\D+(\d{1,2})\D+(\d{1,2})")
_MIN_YEAR, _MAX_YEAR = 1800, 2200


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """One of the times that EXIF and XMP have, with the tags of its parts."""

    time_tag: int
    fraction_tag: int
    offset_tag: int
    xmp_names: tuple[str, ...]


_BY_PRIORITY = (
    _Kind(
        time_tag=0x9003,  # DateTimeOriginal
        fraction_tag=0x9291,
        offset_tag=0x9011,
        xmp_names=("exif:DateTimeOriginal", "photoshop:DateCreated"),
    ),
    _Kind(
        time_tag=0x9004,  # DateTimeDigitized, also known as CreateDate
        fraction_tag=0x9292,
        offset_tag=0x9012,
        xmp_names=("exif:DateTimeDigitized", "xmp:CreateDate"),
    ),
)

_Directories = tuple[Directory | None, Directory | None]

_Time = tuple[datetime, int | None]
"""Local time and offset from UTC in minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureTime:
    local: datetime | None = None
    """By the camera's clock, without a time zone."""
    offset_minutes: int | None = None
    offset_source: Literal["exif", "gps"] | None = None


def read_capture_time(
    main: Directory | None,
    exif: Directory | None,
    gps: Directory | None,
    xmp: Properties,
    notes: Notes,
    *,
    longitude: float | None,
) -> CaptureTime:
    """The first time that can be read."""
    time = _first_time((exif, main), xmp, notes)
    if time is None:
        return CaptureTime()
    local, offset = time
    if offset is not None:
        return CaptureTime(local=local, offset_minutes=offset, offset_source="exif")
    offset = _gps_offset(local, gps, xmp, notes, longitude=longitude)
    return CaptureTime(local=local, offset_minutes=offset, offset_source="gps" if offset is not None else None)


def _first_time(directories: _Directories, xmp: Properties, notes: Notes) -> _Time | None:
    """The first readable time by priority. Notes name only malformed times before it."""
    malformed: str | None = None
    for written, time in _times(directories, xmp):
        if time is None:
            notes.add("capture-time-unreadable")
            malformed = malformed or (written if re.search("[1-9]", written) else None)
        elif malformed is None or _names_day(malformed, time[0].date()):
            return time
    return None


def _times(directories: _Directories, xmp: Properties) -> Iterator[tuple[str, _Time | None]]:
    """The times that are present, by priority: as written, and None for a malformed one."""
    for kind in _BY_PRIORITY:
        written = text(directories, kind.time_tag)
        if written is not None:
            yield written, _exif_time(directories, kind, written)
        for name in kind.xmp_names:
            if name in xmp:
                yield xmp[name], _parse_time(xmp[name])


def _names_day(written: str, day: date) -> bool:
    match = _DAY.match(written)
    return match is not None and tuple(map(int, match.groups())) == (day.year, day.month, day.day)


def _exif_time(directories: _Directories, kind: _Kind, written: str | None) -> _Time | None:
    time = _parse_time(written)
    if time is None:
        return None
    local, offset_in_time = time
    if not local.microsecond:
        local += _fraction(text(directories, kind.fraction_tag))
    offsets = (
        _parse_offset(text(directories, kind.offset_tag)),
        offset_in_time,
        _parse_offset(text(directories, _OFFSET_TIME)),
    )
    return local, next((offset for offset in offsets if offset is not None), None)


def _parse_time(value: str | None) -> _Time | None:
    """Parse ``2020:09:02 10:11:12`` of EXIF, and the ISO forms of XMP and some phones, which may have an offset."""
    match = _TIME.fullmatch(value.strip()) if value else None
    if match is None:
        return None
    year, month, day, hour, minute = (int(match[n]) for n in range(1, 6))
    try:
        # some phones write hour 24 of the same date in the first hour after midnight
        local = datetime(year, month, day, 0 if hour == 24 else hour, minute, int(match[6] or 0))  # noqa: DTZ001 -- the camera's clock
    except ValueError:
        return None
    if not _MIN_YEAR <= year <= _MAX_YEAR:
        return None
    return local + _milliseconds(match[7]), _parse_offset(match[8])


def _milliseconds(digits: str | None) -> timedelta:
    return timedelta(milliseconds=int(digits[:3].ljust(3, "0"))) if digits else timedelta()


def _fraction(written: str | None) -> timedelta:
    """The value of a sub-seconds tag; 0 when it has none."""
    digits = re.match(r"\d+", written.strip()) if written else None
    return _milliseconds(digits[0] if digits else None)


def _parse_offset(value: str | None) -> int | None:
    """Minutes east of UTC of ``+02:00``, ``-0330``, ``+2`` or ``Z``. None for other text and outside -12 to +14 h."""
    if value is None:
        return None
    if value.strip().upper() in ("Z", "UTC", "GMT"):
        return 0
    match = _OFFSET.fullmatch(value.strip())
    if match is None or int(match[3] or 0) > 59:
        return None
    minutes = int(match[2]) * 60 + int(match[3] or 0)
    signed = -minutes if match[1] == "-" else minutes
    return signed if _MIN_OFFSET <= signed <= _MAX_OFFSET else None


def _gps_offset(
    local: datetime, gps: Directory | None, xmp: Properties, notes: Notes, *, longitude: float | None
) -> int | None:
    """The difference of the camera's clock from the GPS time, in minutes. None without a longitude to check it."""
    utc = _gps_time(gps) or _xmp_gps_time(xmp)
    if utc is None or longitude is None:
        return None
    minutes = round((local.replace(tzinfo=UTC) - utc) / timedelta(minutes=15)) * 15
    is_in_use = minutes % 60 == 0 or minutes in _PARTIAL_HOUR_OFFSETS
    # 360 degrees are 1,440 minutes
    is_near = abs(minutes - longitude * 4) <= _MAX_MINUTES_FROM_SUN
    if not is_in_use or not is_near or not _MIN_OFFSET <= minutes <= _MAX_OFFSET:
        notes.add("gps-time-implausible")
        return None
    return minutes


def _gps_time(gps: Directory | None) -> datetime | None:
    date = re.fullmatch(r"(\d{4})\D(\d{1,2})\D(\d{1,2})", (text((gps,), _GPS_DATE) or "").strip())
    clock = numbers((gps,), _GPS_TIME, 3)
    if date is None or clock is None or len(clock) != 3:
        return None
    hours, minutes, seconds = (math.nan if part is None else part for part in clock)  # NaN is in no range
    if not (0 <= hours < 24 and 0 <= minutes < 60 and 0 <= seconds < 61):
        return None
    try:
        midnight = datetime(int(date[1]), int(date[2]), int(date[3]), tzinfo=UTC)
    except ValueError:
        return None
    return midnight + timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _xmp_gps_time(xmp: Properties) -> datetime | None:
    time = _parse_time(xmp.get("exif:GPSTimeStamp"))
    if time is None:
        return None
    local, offset = time
    return local.replace(tzinfo=timezone(timedelta(minutes=offset or 0)))
