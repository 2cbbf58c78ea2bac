"""Reads where the picture was taken: both coordinates, in range and not 0,0, or none."""

import math
import re
from dataclasses import dataclass

from imagesvc.processing.headers.tiff_directory import Directory
from imagesvc.processing.metadata.tags import Notes, fraction, numbers, text
from imagesvc.processing.metadata.xmp import Properties

_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _ALTITUDE_REF, _ALTITUDE = 1, 2, 3, 4, 5, 6
_XMP_COORDINATE = re.compile(r"(\d{1,3}(?:\.\d+)?)(?:,(\d{1,2}(?:\.\d+)?))?(?:,(\d{1,2}(?:\.\d+)?))?\s*([NSEW])")
_MIN_ALTITUDE_M, _MAX_ALTITUDE_M = -12_000, 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    latitude: float | None = None
    longitude: float | None = None
    altitude_m: float | None = None


def read_location(gps: Directory | None, xmp: Properties, notes: Notes) -> Location:
    """The location by EXIF, or by XMP when EXIF has neither coordinate."""
    latitude = _coordinate(gps, _LATITUDE, _LATITUDE_REF, "NS", notes)
    longitude = _coordinate(gps, _LONGITUDE, _LONGITUDE_REF, "EW", notes)
    is_in_exif = gps is not None and (_LATITUDE in gps.entries or _LONGITUDE in gps.entries)
    if not is_in_exif:
        latitude = _xmp_coordinate(xmp.get("exif:GPSLatitude"), "NS", notes)
        longitude = _xmp_coordinate(xmp.get("exif:GPSLongitude"), "EW", notes)
    if latitude is None or longitude is None:
        if latitude is not None or longitude is not None:
            notes.add("gps-incomplete")
        return Location()
    if abs(latitude) > 90 or abs(longitude) > 180:
        notes.add("gps-out-of-range")
        return Location()
    if latitude == 0 and longitude == 0:  # what devices write without a fix
        notes.add("gps-zero")
        return Location()
    return Location(
        latitude=round(latitude, 8),
        longitude=round(longitude, 8),
        altitude_m=_altitude(gps, xmp, notes),
    )


def _coordinate(gps: Directory | None, tag: int, ref_tag: int, hemispheres: str, notes: Notes) -> float | None:
    """Signed degrees, from up to three fractions: degrees, minutes and seconds.

    Cameras write 0/0 for minutes and seconds that they leave out.
    """
    parts = numbers((gps,), tag, 3)
    if not parts:
        return None
    degrees, *smaller = parts
    if degrees is None or math.isnan(degrees) or any(part is None for part in smaller):
        notes.add("gps-unreadable")
        return None
    sixtieths = [0.0 if part is None or math.isnan(part) else part for part in smaller]
    minutes, seconds = [*sixtieths, 0.0, 0.0][:2]
    sign = _sign(text((gps,), ref_tag), hemispheres)
    if sign is None:
        notes.add("gps-hemisphere-missing")
        return None
    if degrees < 0 or minutes < 0 or seconds < 0:  # a sign beside the letter, which states the hemisphere already
        notes.add("gps-signed")
        degrees, minutes, seconds = abs(degrees), abs(minutes), abs(seconds)
    return (degrees + minutes / 60 + seconds / 3600) * sign


def _sign(ref: str | None, hemispheres: str) -> int | None:
    letter = ref.strip()[:1].upper() if ref else ""
    return {hemispheres[0]: 1, hemispheres[1]: -1}.get(letter)


def _xmp_coordinate(value: str | None, hemispheres: str, notes: Notes) -> float | None:
    """``48,51.5022N`` or ``48,51,30N`` (XMP specification, part 2)."""
    if value is None:
        return None
    match = _XMP_COORDINATE.fullmatch(value.strip())
    if match is None or match[4] not in hemispheres:
        notes.add("gps-unreadable")
        return None
    degrees = float(match[1]) + float(match[2] or 0) / 60 + float(match[3] or 0) / 3600
    return -degrees if match[4] == hemispheres[1] else degrees


def _altitude(gps: Directory | None, xmp: Properties, notes: Notes) -> float | None:
    values = numbers((gps,), _ALTITUDE, 1)
    if values:
        height = None if values[0] is None or math.isnan(values[0]) else values[0]
        is_below = _is_below_sea_level(gps)
    else:
        height, is_below = fraction(xmp.get("exif:GPSAltitude")), xmp.get("exif:GPSAltitudeRef") == "1"
        if height is None:
            return None
    if height is None or not _MIN_ALTITUDE_M <= height <= _MAX_ALTITUDE_M:
        notes.add("gps-altitude-unreadable")
        return None
    return round(-abs(height) if is_below else height, 3)


def _is_below_sea_level(gps: Directory | None) -> bool:
    """References 1 and, since EXIF 3.0, 3. Some cameras write the digit as text."""
    ref = gps.data(_ALTITUDE_REF, 2) if gps is not None else None
    return bool(ref) and any(byte in (1, 3, ord("1"), ord("3")) for byte in ref or b"")
