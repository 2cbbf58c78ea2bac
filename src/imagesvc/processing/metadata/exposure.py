"""Aperture, shutter, sensitivity and focal length, each a positive number or unknown."""

from dataclasses import dataclass

from imagesvc.processing.headers.tiff_directory import Directory
from imagesvc.processing.metadata.tags import Notes, fraction, number
from imagesvc.processing.metadata.xmp import Properties

_F_NUMBER, _SECONDS, _FOCAL_LENGTH = 0x829D, 0x829A, 0x920A
_ISO, _ISO_BEYOND = 0x8827, (0x8833, 0x8832, 0x8831)
_ISO_IS_BEYOND = 65_535
"""what the 16-bit tag says when the number is in one of the later, wider ones"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    f_number: float | None = None
    seconds: float | None = None
    iso: int | None = None
    focal_length_mm: float | None = None


def exposure(main: Directory | None, exif: Directory | None, xmp: Properties, notes: Notes) -> Exposure:
    places = (exif, main)

    def positive(tag: int, name: str, most: float, note: str) -> float | None:
        written = any(place is not None and tag in place.entries for place in places)
        value = number(places, tag) if written else fraction(xmp.get(name))
        if value is not None and 0 < value <= most:
            return float(f"{value:.10g}")
        if value or (written and value is None):
            notes.add(note)
        return None

    return Exposure(
        f_number=positive(_F_NUMBER, "exif:FNumber", 1_000, "f-number-unreadable"),
        seconds=positive(_SECONDS, "exif:ExposureTime", 1e6, "exposure-time-unreadable"),
        iso=_iso(places, xmp),
        focal_length_mm=positive(_FOCAL_LENGTH, "exif:FocalLength", 1e5, "focal-length-unreadable"),
    )


def _iso(places: tuple[Directory | None, ...], xmp: Properties) -> int | None:
    value = number(places, _ISO)
    if value is None or value >= _ISO_IS_BEYOND:
        wider = (number(places, tag) for tag in _ISO_BEYOND)
        value = next((candidate for candidate in wider if candidate), value)
    if value is None:
        value = fraction(xmp.get("exif:ISOSpeedRatings") or xmp.get("exifEX:PhotographicSensitivity"))
    return int(value) if value is not None and 1 <= value < 2**31 else None
