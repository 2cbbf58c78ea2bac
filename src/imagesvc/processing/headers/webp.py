"""Reads the header of a WebP (RIFF container): canvas, frames and metadata chunks."""

import struct
from collections.abc import Iterator

from imagesvc.processing.headers.header import BrokenImage, Header, HeaderLimits, Source, read_exactly

_MAX_CHUNKS = 200_000
_PIXELS = (b"VP8 ", b"VP8L", b"ALPH", b"ANMF")


def read_webp(source: Source, limits: HeaderLimits) -> Header:
    """Count frames up to one more than the limit. Raises BrokenImage."""
    header = Header(frames=0)
    for kind, start, length in _chunks(source):
        if kind == b"ANMF":
            header.frames += 1
        elif kind in _SIZES:
            _set_size(header, source, kind, start)
        else:
            _metadata(header, source, kind, start, length, limits)
        if header.frames > limits.frames:
            break
    if not header.width:
        raise BrokenImage("the file ends before the picture begins")
    header.frames = max(1, header.frames)
    return header


def _chunks(source: Source) -> Iterator[tuple[bytes, int, int]]:
    """Chunks as (type, start of the content, length). Raises BrokenImage when pixels are cut off."""
    at = 12
    for _ in range(_MAX_CHUNKS):
        head = source[at : at + 8]
        if len(head) < 8:
            return
        kind, length = struct.unpack("<4sI", head)
        start = at + 8
        if kind in _PIXELS and start + length > len(source):
            raise BrokenImage("the file ends before its pixels do")
        yield kind, start, length
        at = start + length + (length & 1)


def _set_size(header: Header, source: Source, kind: bytes, start: int) -> None:
    """The canvas of the extended format counts; the size of a frame counts only in a file without a canvas."""
    if kind == b"VP8X" or not header.width:
        header.width, header.height = _SIZES[kind](source, start)


def _canvas_size(source: Source, at: int) -> tuple[int, int]:
    canvas = read_exactly(source, at + 4, 6)
    return int.from_bytes(canvas[:3], "little") + 1, int.from_bytes(canvas[3:], "little") + 1


def _lossy_size(source: Source, at: int) -> tuple[int, int]:
    """The key frame's header (RFC 6386, section 9.1)."""
    frame = read_exactly(source, at, 10)
    if frame[3:6] != b"\x9d\x01\x2a":
        raise BrokenImage("the key frame has no start code")
    width, height = struct.unpack("<HH", frame[6:])
    return width & 0x3FFF, height & 0x3FFF


def _lossless_size(source: Source, at: int) -> tuple[int, int]:
    frame = read_exactly(source, at, 5)
    if frame[0] != 0x2F:
        raise BrokenImage("the lossless frame has no signature")
    bits = int.from_bytes(frame[1:], "little")
    return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1


_SIZES = {b"VP8X": _canvas_size, b"VP8 ": _lossy_size, b"VP8L": _lossless_size}


def _metadata(header: Header, source: Source, kind: bytes, start: int, length: int, limits: HeaderLimits) -> None:
    if kind == b"ICCP":
        header.profile_bytes = length
    elif kind == b"EXIF" and header.exif is None:
        header.exif = source[start : start + length].removeprefix(b"Exif\0\0")
    elif kind == b"XMP " and header.xmp is None:
        header.text_bytes += length
        header.xmp = source[start : start + min(length, limits.text_bytes)]
