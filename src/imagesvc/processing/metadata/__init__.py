"""Camera, exposure, time and place from EXIF and, for each field that EXIF lacks, XMP.

    tags.py      single EXIF and XMP values as clean Python values
    xmp.py       the XMP properties that are used (ISO 16684-1)
    camera.py    make, model and lens; the one name under which all spellings of a model are counted
    exposure.py  f-number, exposure time, ISO and focal length
    capture.py   capture time by the camera's clock, and its offset from UTC
    place.py     latitude, longitude and altitude

Bad metadata is never an error: the field is absent, and a note says so. Nothing here reads pixels.
"""

from dataclasses import dataclass

from imagesvc.processing.headers import Header, Source
from imagesvc.processing.headers.tiff_directory import Directory, Structure
from imagesvc.processing.metadata.camera import Camera, camera
from imagesvc.processing.metadata.capture import Capture, capture
from imagesvc.processing.metadata.exposure import Exposure, exposure
from imagesvc.processing.metadata.place import Place, place
from imagesvc.processing.metadata.tags import Notes, number
from imagesvc.processing.metadata.xmp import properties

_ORIENTATION, _EXIF, _GPS = 0x112, 0x8769, 0x8825


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    orientation: int | None
    """EXIF's own, 1 to 8; XMP's is not looked at, as no browser does"""
    camera: Camera
    exposure: Exposure
    capture: Capture
    place: Place
    notes: tuple[str, ...]


def metadata(source: Source, header: Header, *, is_tiff: bool) -> Metadata:
    """``source`` is the whole file, which in a TIFF is the EXIF structure too."""
    notes = Notes(header.notes)
    block: Source | None = source if is_tiff else header.exif
    main = exif = gps = None
    if block is not None:
        structure = Structure(block)
        main = structure.directory(structure.first)
        if main is None:
            notes.add("exif-unreadable")
        else:
            exif = _below(structure, main, _EXIF)
            gps = _below(structure, main, _GPS)
    xmp = properties(header.xmp) if header.xmp else {}
    if xmp is None:
        notes.add("xmp-unreadable")
        xmp = {}
    return Metadata(
        orientation=_orientation(main, notes),
        camera=camera(main, exif, xmp),
        exposure=exposure(main, exif, xmp, notes),
        capture=capture(main, exif, gps, xmp, notes),
        place=place(gps, xmp, notes),
        notes=notes.all(),
    )


def _below(structure: Structure, main: Directory, tag: int) -> Directory | None:
    return structure.directory(main.integer(tag))


def _orientation(main: Directory | None, notes: Notes) -> int | None:
    if main is None or _ORIENTATION not in main.entries:
        return None
    value = number((main,), _ORIENTATION)
    if value is not None and value in range(1, 9):
        return int(value)
    notes.add("orientation-unreadable")
    return None


__all__ = ["Metadata", "metadata"]
