"""The header of a GIF (87a, 89a): the screen, and how many pictures it shows, without decompressing any."""

import struct

from imagesvc.processing.headers.header import Broken, Budget, Header, Source, take

_MAX_BLOCKS = 2_000_000
"""of at most 255 bytes: half a gigabyte of honest data, a second of walking at most"""

_XMP = b"\xff\x0bXMP DataXMP"
"""the application extension whose packet stands there as it is, not in sub-blocks"""


def read_gif(source: Source, budget: Budget) -> Header:
    width, height, flags = struct.unpack("<HHB", take(source, 6, 5))
    header = Header(width=width, height=height, frames=0)
    at = 13 + _table_bytes(flags)
    blocks = 0
    while header.frames <= budget.frames:
        mark = source[at : at + 1]
        if mark == b"\x21":
            begins = at
            at, walked = _skip_blocks(source, at + 2)
            blocks += walked
            if header.xmp is None and source[begins + 1 : begins + 14] == _XMP:
                header.text_bytes = at - begins
                header.xmp = source[begins + 14 : min(at, begins + 14 + budget.text_bytes)]
        elif mark == b"\x2c":
            if len(source) < at + 10:
                break
            left, top, frame_width, frame_height, flags = struct.unpack("<HHHHB", source[at + 1 : at + 10])
            if header.frames == 0:
                _first_frame(header, left + frame_width, top + frame_height)
            header.frames += 1
            at, walked = _skip_blocks(source, at + 11 + _table_bytes(flags))
            blocks += walked
        elif mark in (b"\x3b", b""):
            break
        else:
            at += 1
            blocks += 1
        if blocks > _MAX_BLOCKS:
            raise Broken("there are too many blocks")
    if not header.frames:
        raise Broken("there is no picture in the file")
    return header


def _table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _first_frame(header: Header, right: int, bottom: int) -> None:
    """A screen without a size, which some old encoders wrote, takes the first picture's; decoders grow it likewise."""
    header.width = header.width or right
    header.height = header.height or bottom
    larger = max(header.width, right) * max(header.height, bottom)
    header.bytes_per_pixel = 4 * -(-larger // max(1, header.width * header.height))


def _skip_blocks(source: Source, at: int) -> tuple[int, int]:
    """Past a chain of sub-blocks; also how many there were."""
    end, walked = len(source), 0
    while at < end:
        size = source[at]
        at += size + 1
        walked += 1
        if not size or walked > _MAX_BLOCKS:
            break
    return at, walked
