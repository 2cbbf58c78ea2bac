"""Reads the header of HEIF and AVIF files (ISO/IEC 14496-12, 23008-12): the primary item, or the track of a sequence.

The stored size is the primary item's `ispe`. Rotation (`irot`), mirroring (`imir`) and crop (`clap`) belong to the
container and apply in its order, which MIAF fixes as crop, rotate, mirror.
"""

import struct
from dataclasses import dataclass

from imagesvc.processing.headers.header import BrokenImage, Header, HeaderLimits, Refusal, Source, read_exactly
from imagesvc.processing.headers.isobmff_boxes import Span, boxes
from imagesvc.processing.headers.isobmff_items import Items, read_items
from imagesvc.processing.headers.isobmff_properties import apply_properties

_MAX_EXIF_BYTES = 64 * 1024 * 1024
_MAX_EXTENTS = 64
"""Of an item with metadata."""
_PICTURES = {b"hvc1", b"hev1", b"lhv1", b"av01", b"grid", b"iovl", b"iden", b"jpeg", b"tmap", b"unci"}
"""Item types with pixels."""


def read_isobmff(source: Source, limits: HeaderLimits) -> Header:
    """Read the still picture, and the number of frames when there is a track too. Raises Refusal."""
    header = Header(exif_orientation_applies=False)
    top = dict(boxes(source, (0, len(source))))
    track = _displayed_track(source, top[b"moov"]) if b"moov" in top else None
    if b"meta" in top:
        _read_still(header, source, top[b"meta"], limits)
    elif track is None:
        raise BrokenImage("the file ends before the picture is described")
    if track is not None:
        header.frames = max(1, track.samples)
        header.width, header.height = header.width or track.width, header.height or track.height
    return header


def _read_still(header: Header, source: Source, meta: Span, limits: HeaderLimits) -> None:
    items = read_items(source, meta)
    if items is None:
        return
    apply_properties(header, source, items.properties.get(items.primary, []))
    if items.primary_kind not in _PICTURES:
        raise Refusal("unsupported-content", "the picture's coding is not supported")
    _check_extents(source, items)
    _read_metadata(header, source, items, limits)


def _check_extents(source: Source, items: Items) -> None:
    pictures = (items.extents.get(item, []) for item, entry in items.types.items() if entry.kind in _PICTURES)
    if any(end > len(source) for extents in pictures for _, end in extents):
        raise BrokenImage("the file ends before its pixels do")


# --- metadata


def _read_metadata(header: Header, source: Source, items: Items, limits: HeaderLimits) -> None:
    for item, entry in items.types.items():
        extents = items.extents.get(item, [])
        if entry.kind == b"Exif" and header.exif is None:
            header.exif = _exif(_content(source, extents, _MAX_EXIF_BYTES))
        elif entry.kind == b"mime" and entry.content_type == b"application/rdf+xml" and header.xmp is None:
            header.text_bytes += sum(end - start for start, end in extents)
            header.xmp = _content(source, extents, limits.text_bytes)


def _exif(block: bytes) -> bytes | None:
    """The TIFF structure of an EXIF item.

    The first four bytes state how far after them it begins. Some writers leave them out or state a wrong number.
    """
    skip = int.from_bytes(block[:4], "big") + 4
    for candidate in (block[skip:], block[4:].removeprefix(b"Exif\0\0"), block.removeprefix(b"Exif\0\0")):
        if candidate[:2] in (b"II", b"MM"):
            return candidate
    return None


def _content(source: Source, extents: list[Span], max_bytes: int) -> bytes:
    """The first bytes of an item. An extent of length 0 ends at the end of the file."""
    parts, left = [], max_bytes
    for start, end in extents[:_MAX_EXTENTS]:
        part = source[start : min(end if end > start else len(source), start + left)]
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


# --- image sequences


@dataclass(frozen=True, slots=True, kw_only=True)
class _Track:
    width: int
    height: int
    samples: int


def _displayed_track(source: Source, moov: Span) -> _Track | None:
    """The first track with a size, which is the one that an image sequence displays."""
    tracks = (_track(source, span) for kind, span in boxes(source, moov) if kind == b"trak")
    return next((track for track in tracks if track.width and track.height), None)


def _track(source: Source, trak: Span) -> _Track:
    width = height = samples = 0
    for kind, (start, end) in boxes(source, trak):
        if kind == b"tkhd" and end - start >= 8:
            width, height = (fixed >> 16 for fixed in struct.unpack(">II", read_exactly(source, end - 8, 8)))
        elif kind == b"mdia":
            samples = _samples(source, (start, end))
    return _Track(width=width, height=height, samples=samples)


def _samples(source: Source, mdia: Span) -> int:
    """The number of samples in `minf/stbl/stsz`, 0 without that box."""
    span = mdia
    for wanted in (b"minf", b"stbl", b"stsz"):
        span = next((content for kind, content in boxes(source, span) if kind == wanted), (0, 0))
    return int.from_bytes(read_exactly(source, span[0] + 8, 4), "big") if span[1] - span[0] >= 12 else 0
