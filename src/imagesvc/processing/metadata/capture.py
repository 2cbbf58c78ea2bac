"""When the picture was taken, by the camera's clock, and how far that clock was from UTC, if that can be known.

DateTimeOriginal with its own sub-seconds and offset comes first, then CreateDate with its own. OffsetTime counts only
where the time's own offset is missing. Then the difference to the satellites' clock, rounded to a quarter of an hour,
where such an offset is in use anywhere. Otherwise the offset is unknown: it is never silently UTC.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal

from imagesvc.processing.headers.tiff_directory import Directory
from imagesvc.processing.metadata.tags import Notes, numbers, text
from imagesvc.processing.metadata.xmp import Properties

_ORIGINAL, _DIGITIZED = (0x9003, 0x9291, 0x9011), (0x9004, 0x9292, 0x9012)
"""tags of the time, its sub-seconds and its offset"""
_OFFSET_TIME = 0x9010
_GPS_TIME, _GPS_DATE = 7, 29
_XMP_ORIGINAL, _XMP_DIGITIZED = (
    ("exif:DateTimeOriginal", "photoshop:DateCreated"),
    ("exif:DateTimeDigitized", "xmp:CreateDate"),
)

_TIME = re.compile(
    r"(\d{4})[:\-/.](\d{1,2})[:\-/.](\d{1,2})[ T]+(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.,](\d+))?)?"
    r"\s*(Z|[+-]\d{1,2}(?::?\d{2})?)?(?:\s+(?:DST|daylight|standard))?",
    re.IGNORECASE,
)
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?", re.IGNORECASE)
_ODD_OFFSETS = {-570, -210, -150, 210, 270, 330, 345, 390, 525, 570, 630, 765, 825}
"""offsets in use, or in use within the age of GPS, that are no whole hours"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    local: datetime | None = None
    offset_minutes: int | None = None
    offset_source: Literal["exif", "gps"] | None = None


def capture(
    main: Directory | None, exif: Directory | None, gps: Directory | None, xmp: Properties, notes: Notes
) -> Capture:
    for local, offset in _candidates(main, exif, xmp, notes):
        if offset is not None:
            return Capture(local=local, offset_minutes=offset, offset_source="exif")
        difference = _gps_difference(local, gps, xmp, notes)
        return Capture(local=local, offset_minutes=difference, offset_source="gps" if difference is not None else None)
    return Capture()


def _candidates(
    main: Directory | None, exif: Directory | None, xmp: Properties, notes: Notes
) -> Iterator[tuple[datetime, int | None]]:
    common = parse_offset(text((exif, main), _OFFSET_TIME))
    for (time_tag, fraction_tag, offset_tag), names in ((_ORIGINAL, _XMP_ORIGINAL), (_DIGITIZED, _XMP_DIGITIZED)):
        written = text((exif, main), time_tag)
        read = parse_time(written)
        if read is not None:
            local, own = read
            local += _fraction(exif, main, fraction_tag) if not local.microsecond else timedelta()
            stated = parse_offset(text((exif, main), offset_tag))
            yield local, next((offset for offset in (stated, own, common) if offset is not None), None)
        elif written is not None:
            notes.add("capture-time-unreadable")
        for name in names:
            read = parse_time(xmp.get(name))
            if read is not None:
                yield read
            elif name in xmp:
                notes.add("capture-time-unreadable")


def parse_time(value: str | None) -> tuple[datetime, int | None] | None:
    """EXIF's ``2020:09:02 10:11:12`` and the ISO forms that XMP and some phones write; an offset may be part of it."""
    match = _TIME.fullmatch(value.strip()) if value else None
    if match is None:
        return None
    year, month, day, hour, minute = (int(match[n]) for n in range(1, 6))
    try:
        local = datetime(year, month, day, hour, minute, int(match[6] or 0))  # noqa: DTZ001 -- the camera's clock
    except ValueError:
        return None
    if not 1800 <= year <= 2200:
        return None
    return local + _milliseconds(match[7]), parse_offset(match[8])


def _milliseconds(digits: str | None) -> timedelta:
    return timedelta(milliseconds=int(digits[:3].ljust(3, "0"))) if digits else timedelta()


def _fraction(exif: Directory | None, main: Directory | None, tag: int) -> timedelta:
    written = text((exif, main), tag)
    digits = re.match(r"\d+", written.strip()) if written else None
    return _milliseconds(digits[0] if digits else None)


def parse_offset(value: str | None) -> int | None:
    """Minutes east of UTC of ``+02:00``, ``-0330``, ``+2`` or ``Z``; None for anything else, and past -12 or +14 h."""
    if value is None:
        return None
    if value.strip().upper() in ("Z", "UTC", "GMT"):
        return 0
    match = _OFFSET.fullmatch(value.strip())
    if match is None or int(match[3] or 0) > 59:
        return None
    minutes = int(match[2]) * 60 + int(match[3] or 0)
    signed = -minutes if match[1] == "-" else minutes
    return signed if -12 * 60 <= signed <= 14 * 60 else None


def _gps_difference(local: datetime, gps: Directory | None, xmp: Properties, notes: Notes) -> int | None:
    satellites = _gps_time(gps) or _xmp_gps_time(xmp)
    if satellites is None:
        return None
    minutes = round((local.replace(tzinfo=UTC) - satellites) / timedelta(minutes=15)) * 15
    in_use = -12 * 60 <= minutes <= 14 * 60 and (minutes % 60 == 0 or minutes in _ODD_OFFSETS)
    if not in_use:
        notes.add("gps-time-implausible")
        return None
    return minutes


def _gps_time(gps: Directory | None) -> datetime | None:
    date = re.fullmatch(r"(\d{4})\D(\d{1,2})\D(\d{1,2})", (text((gps,), _GPS_DATE) or "").strip())
    clock = numbers((gps,), _GPS_TIME, 3)
    if date is None or clock is None or len(clock) != 3:
        return None
    hours, minutes, seconds = (math.nan if part is None else part for part in clock)
    if not (0 <= hours < 24 and 0 <= minutes < 60 and 0 <= seconds < 61):
        return None
    try:
        midnight = datetime(int(date[1]), int(date[2]), int(date[3]), tzinfo=UTC)
    except ValueError:
        return None
    return midnight + timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _xmp_gps_time(xmp: Properties) -> datetime | None:
    read = parse_time(xmp.get("exif:GPSTimeStamp"))
    if read is None:
        return None
    return read[0].replace(tzinfo=timezone(timedelta(minutes=read[1] or 0)))
