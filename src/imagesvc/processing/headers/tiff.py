"""The header of a TIFF or BigTIFF: its pages, and what each would take in memory."""

from imagesvc.processing.headers.header import Broken, Budget, Header, Refusal, Source
from imagesvc.processing.headers.tiff_directory import Directory, Structure

_MAX_ENTRIES = 200_000
"""of all directories together, which may overlap in a hostile file"""
_WIDTH, _HEIGHT, _BITS, _SAMPLES = 0x100, 0x101, 0x102, 0x115
_XMP, _PROFILE = 0x2BC, 0x8773
_DNG_VERSION, _PHOTOMETRIC, _DIRECTORIES_BELOW = 0xC612, 0x106, 0x14A
_OF_A_SENSOR = {32_803, 34_892}
"""colour filter array (TIFF/EP) and linear raw (DNG), where a picture says how to see its samples"""


def read_tiff(source: Source, budget: Budget) -> Header:
    structure = Structure(source)
    first = structure.directory(structure.first)
    if first is None:
        raise Broken("the first directory is not in the file")
    if _is_camera_raw(structure, first):
        raise Refusal("unsupported-content", "camera raw files are not taken")
    header = Header(other_frames_pixels=0)
    header.width, header.height = first.integer(_WIDTH) or 0, first.integer(_HEIGHT) or 0
    header.bytes_per_pixel = _bytes_per_pixel(first)
    header.profile_bytes = first.entries[_PROFILE].bytes if _PROFILE in first.entries else 0
    if _XMP in first.entries:
        header.text_bytes = first.entries[_XMP].bytes
        header.xmp = first.data(_XMP, budget.text_bytes)
    _count_pages(header, structure, first, budget)
    return header


def _is_camera_raw(structure: Structure, first: Directory) -> bool:
    """DNG says so. NEF, ARW and their like show a small picture and keep what the sensor saw one directory below."""
    below = (first.numbers(_DIRECTORIES_BELOW, 8) or ()) if _DIRECTORIES_BELOW in first.entries else ()
    pages = (first, *(structure.directory(at) for at in below if isinstance(at, int)))
    return _DNG_VERSION in first.entries or any(
        page is not None and page.integer(_PHOTOMETRIC) in _OF_A_SENSOR for page in pages
    )


def _count_pages(header: Header, structure: Structure, first: Directory, budget: Budget) -> None:
    seen = {structure.first}
    page, entries, others = first, first.read, 0
    while page.following and page.following not in seen and header.frames <= budget.frames:
        seen.add(page.following)
        following = structure.directory(page.following)
        if following is None:
            header.notes.append("tiff-pages-cut-off")
            break
        page = following
        header.frames += 1
        others += (page.integer(_WIDTH) or 0) * (page.integer(_HEIGHT) or 0)
        entries += page.read + 64
        if entries > _MAX_ENTRIES:
            raise Refusal("too-large-metadata", f"the directories have over {_MAX_ENTRIES} entries")
    header.other_frames_pixels = others


def _bytes_per_pixel(page: Directory) -> int:
    """Deep samples are decoded as they are; more samples than a picture can have are somebody's bomb."""
    samples = page.integer(_SAMPLES) or 1
    bits = page.integer(_BITS) or 1
    if samples > 64 or bits > 64:
        raise Refusal("unsupported-content", f"{samples} samples of {bits} bits a pixel")
    return max(1 if samples == 1 else 4, samples * bits // 8)
