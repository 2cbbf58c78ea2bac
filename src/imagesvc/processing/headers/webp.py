"""The header of a WebP (RIFF container): canvas, frames, metadata chunks."""

import struct

from imagesvc.processing.headers.header import Broken, Budget, Header, Source, take

_MAX_CHUNKS = 200_000
_PIXELS = (b"VP8 ", b"VP8L", b"ALPH", b"ANMF")


def read_webp(source: Source, budget: Budget) -> Header:
    header = Header()
    animated_frames, at = 0, 12
    for _ in range(_MAX_CHUNKS):
        outline = source[at : at + 8]
        if len(outline) < 8 or animated_frames > budget.frames:
            break
        kind, length = struct.unpack("<4sI", outline)
        start = at + 8
        if kind in _PIXELS and start + length > len(source):
            raise Broken("the file ends before its pixels do")
        if kind == b"VP8X":
            canvas = take(source, start + 4, 6)
            header.width = int.from_bytes(canvas[:3], "little") + 1
            header.height = int.from_bytes(canvas[3:], "little") + 1
        elif kind in (b"VP8 ", b"VP8L") and not header.width:
            header.width, header.height = _lossy(source, start) if kind == b"VP8 " else _lossless(source, start)
        elif kind == b"ANMF":
            animated_frames += 1
        elif kind == b"ICCP":
            header.profile_bytes = length
        elif kind == b"EXIF" and header.exif is None:
            header.exif = source[start : start + length].removeprefix(b"Exif\0\0")
        elif kind == b"XMP " and header.xmp is None:
            header.text_bytes += length
            header.xmp = source[start : start + min(length, budget.text_bytes)]
        at = start + length + (length & 1)
    if not header.width:
        raise Broken("the file ends before the picture begins")
    header.frames = max(1, animated_frames)
    return header


def _lossy(source: Source, at: int) -> tuple[int, int]:
    frame = take(source, at, 10)
    if frame[3:6] != b"\x9d\x01\x2a":
        raise Broken("the key frame has no start code")
    width, height = struct.unpack("<HH", frame[6:])
    return width & 0x3FFF, height & 0x3FFF


def _lossless(source: Source, at: int) -> tuple[int, int]:
    frame = take(source, at, 5)
    if frame[0] != 0x2F:
        raise Broken("the lossless frame has no signature")
    bits = int.from_bytes(frame[1:], "little")
    return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
