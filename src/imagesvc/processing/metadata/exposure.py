"""Reads aperture, exposure time, sensitivity and focal length. Each is a positive number or unknown."""

from dataclasses import dataclass

from imagesvc.processing.headers.tiff_directory import Directory
from imagesvc.processing.metadata.tags import Notes, fraction, number
from imagesvc.processing.metadata.xmp import Properties

_F_NUMBER, _EXPOSURE_TIME, _FOCAL_LENGTH = 0x829D, 0x829A, 0x920A
_ISO, _WIDER_ISO = 0x8827, (0x8833, 0x8832, 0x8831)
_ISO_OVERFLOW = 65_535
"""The value of the 16-bit tag when the number is in one of the later 32-bit tags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    f_number: float | None = None
    seconds: float | None = None
    iso: int | None = None
    focal_length_mm: float | None = None


def read_exposure(main: Directory | None, exif: Directory | None, xmp: Properties, notes: Notes) -> Exposure:
    directories = (exif, main)

    def positive(tag: int, name: str, max_value: float, note: str) -> float | None:
        is_in_exif = any(directory is not None and tag in directory.entries for directory in directories)
        value = number(directories, tag) if is_in_exif else fraction(xmp.get(name))
        if value is not None and 0 < value <= max_value:
            return float(f"{value:.10g}")
        if value or (is_in_exif and value is None):
            notes.add(note)
        return None

    return Exposure(
        f_number=positive(_F_NUMBER, "exif:FNumber", 1_000, "f-number-unreadable"),
        seconds=positive(_EXPOSURE_TIME, "exif:ExposureTime", 1e6, "exposure-time-unreadable"),
        iso=_iso(directories, xmp),
        focal_length_mm=positive(_FOCAL_LENGTH, "exif:FocalLength", 1e5, "focal-length-unreadable"),
    )


def _iso(directories: tuple[Directory | None, ...], xmp: Properties) -> int | None:
    value = number(directories, _ISO)
    if value is None or value >= _ISO_OVERFLOW:
        wider = (number(directories, tag) for tag in _WIDER_ISO)
        value = next((candidate for candidate in wider if candidate), value)
    if value is None:
        value = fraction(xmp.get("exif:ISOSpeedRatings") or xmp.get("exifEX:PhotographicSensitivity"))
    return int(value) if value is not None and 1 <= value < 2**31 else None
