"""Camera, exposure, capture time and location, from EXIF and, for each field that EXIF lacks, from XMP.

    camera.py        make, model and lens, and the one name that all spellings of a model share
    exposure.py      f-number, exposure time, ISO and focal length
    capture_time.py  capture time by the camera's clock, and its offset from UTC
    location.py      latitude, longitude and altitude
    tags.py          single EXIF and XMP values as clean Python values
    xmp.py           the XMP properties in use (ISO 16684-1)

Bad metadata is never an error: the field is absent and a note names the problem. That includes exceptions that a reader
does not expect, because metadata is hostile input and the image is good without it. Nothing here reads pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from imagesvc.processing.headers import Header, Source
from imagesvc.processing.headers.tiff_directory import Directory, Structure
from imagesvc.processing.metadata.camera import Camera, read_camera
from imagesvc.processing.metadata.capture_time import CaptureTime, read_capture_time
from imagesvc.processing.metadata.exposure import Exposure, read_exposure
from imagesvc.processing.metadata.location import Location, read_location
from imagesvc.processing.metadata.tags import Notes, number
from imagesvc.processing.metadata.xmp import Properties, read_properties

_ORIENTATION, _EXIF, _GPS = 0x112, 0x8769, 0x8825

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    orientation: int | None
    """EXIF's orientation, 1 to 8. XMP's is ignored, as in all browsers."""
    camera: Camera
    exposure: Exposure
    capture_time: CaptureTime
    location: Location
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Directories:
    main: Directory | None = None
    exif: Directory | None = None
    gps: Directory | None = None


def read_metadata(source: Source, header: Header, *, is_tiff: bool) -> Metadata:
    """Read all metadata. ``source`` is the whole file, which is also the EXIF structure of a TIFF."""
    notes = Notes(header.notes)

    def guarded(read: Callable[[], T], otherwise: T, note: str) -> T:
        try:
            return read()
        except Exception:  # hostile input
            notes.add(note)
            return otherwise

    tags = guarded(
        lambda: _directories(source if is_tiff else header.exif, notes), _Directories(), note="exif-unreadable"
    )
    xmp = guarded(lambda: _xmp(header, notes), Properties(), note="xmp-unreadable")
    location = guarded(lambda: read_location(tags.gps, xmp, notes), Location(), note="gps-unreadable")
    return Metadata(
        orientation=guarded(lambda: _orientation(tags.main, notes), None, note="orientation-unreadable"),
        camera=guarded(lambda: read_camera(tags.main, tags.exif, xmp), Camera(), note="camera-unreadable"),
        exposure=guarded(
            lambda: read_exposure(tags.main, tags.exif, xmp, notes), Exposure(), note="exposure-unreadable"
        ),
        capture_time=guarded(
            lambda: read_capture_time(tags.main, tags.exif, tags.gps, xmp, notes, longitude=location.longitude),
            CaptureTime(),
            note="capture-time-unreadable",
        ),
        location=location,
        notes=notes.all(),
    )


def _directories(block: Source | None, notes: Notes) -> _Directories:
    if block is None:
        return _Directories()
    structure = Structure(block)
    main = structure.directory(structure.first)
    if main is None:
        notes.add("exif-unreadable")
        return _Directories()
    return _Directories(
        main=main,
        exif=structure.directory(main.integer(_EXIF)),
        gps=structure.directory(main.integer(_GPS)),
    )


def _xmp(header: Header, notes: Notes) -> Properties:
    properties = read_properties(header.xmp) if header.xmp else {}
    if properties is None:
        notes.add("xmp-unreadable")
        return {}
    return properties


def _orientation(main: Directory | None, notes: Notes) -> int | None:
    if main is None or _ORIENTATION not in main.entries:
        return None
    value = number((main,), _ORIENTATION)
    if value is not None and value in range(1, 9):
        return int(value)
    notes.add("orientation-unreadable")
    return None


__all__ = ["Metadata", "read_metadata"]
