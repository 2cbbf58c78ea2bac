"""Reads the header of a TIFF or BigTIFF: the number and the sizes of its pages. Detects camera raw files."""

from imagesvc.processing.headers.header import BrokenImage, Header, HeaderLimits, Refusal, Source
from imagesvc.processing.headers.tiff_directory import Directory, Structure

_MAX_ENTRIES = 200_000
"""Of all directories together. The directories of a hostile file may overlap, so its size is no limit."""
_ENTRIES_PER_DIRECTORY = 64
"""Added for each directory, so that many empty ones also reach the limit."""
_MAX_SAMPLES, _MAX_BITS = 64, 64
_WIDTH, _HEIGHT, _BITS, _SAMPLES, _PHOTOMETRIC = 0x100, 0x101, 0x102, 0x115, 0x106
_XMP, _PROFILE = 0x2BC, 0x8773
_DNG_VERSION, _SUB_DIRECTORIES = 0xC612, 0x14A
_SENSOR_DATA = {32_803, 34_892}
"""The photometric interpretations "color filter array" (TIFF/EP) and "linear raw" (DNG)."""


def read_tiff(source: Source, limits: HeaderLimits) -> Header:
    """Count pages up to one more than the limit. Raises Refusal."""
    structure = Structure(source)
    first = structure.directory(structure.first)
    if first is None:
        raise BrokenImage("the first directory is not in the file")
    if _is_camera_raw(structure, first):
        raise Refusal("unsupported-content", "camera raw files are not accepted")
    header = Header(
        width=first.integer(_WIDTH) or 0,
        height=first.integer(_HEIGHT) or 0,
        other_frames_pixels=0,
        bytes_per_pixel=_bytes_per_pixel(first),
        profile_bytes=first.entries[_PROFILE].bytes if _PROFILE in first.entries else 0,
    )
    if _XMP in first.entries:
        header.text_bytes = first.entries[_XMP].bytes
        header.xmp = first.data(_XMP, limits.text_bytes)
    _count_pages(header, structure, first, limits)
    return header


def _is_camera_raw(structure: Structure, first: Directory) -> bool:
    """Whether the file is a DNG, or a NEF, ARW or similar file.

    The latter begin with a small preview and keep the sensor's data in a sub-directory.
    """
    offsets = (first.numbers(_SUB_DIRECTORIES, 8) or ()) if _SUB_DIRECTORIES in first.entries else ()
    pages = (first, *(structure.directory(offset) for offset in offsets if isinstance(offset, int)))
    return _DNG_VERSION in first.entries or any(
        page is not None and page.integer(_PHOTOMETRIC) in _SENSOR_DATA for page in pages
    )


def _count_pages(header: Header, structure: Structure, first: Directory, limits: HeaderLimits) -> None:
    seen = {structure.first}
    page, entries, other_pixels = first, first.entries_read, 0
    while page.next_offset and page.next_offset not in seen and header.frames <= limits.frames:
        seen.add(page.next_offset)
        following = structure.directory(page.next_offset)
        if following is None:
            header.notes.append("tiff-pages-cut-off")
            break
        page = following
        header.frames += 1
        other_pixels += (page.integer(_WIDTH) or 0) * (page.integer(_HEIGHT) or 0)
        entries += page.entries_read + _ENTRIES_PER_DIRECTORY
        if entries > _MAX_ENTRIES:
            raise Refusal("too-large-metadata", f"the directories have over {_MAX_ENTRIES} entries")
    header.other_frames_pixels = other_pixels


def _bytes_per_pixel(page: Directory) -> int:
    """The decoder keeps deep samples at their depth. More samples or bits than any real picture has are an attack."""
    samples = page.integer(_SAMPLES) or 1
    bits = page.integer(_BITS) or 1
    if samples > _MAX_SAMPLES or bits > _MAX_BITS:
        raise Refusal("unsupported-content", f"{samples} samples of {bits} bits a pixel")
    return max(1 if samples == 1 else 4, samples * bits // 8)
