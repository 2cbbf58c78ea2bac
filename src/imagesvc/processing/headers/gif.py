"""Reads the header of a GIF (87a, 89a): the screen and the number of frames. Nothing is decompressed."""

import struct
from collections.abc import Iterator

from imagesvc.processing.headers.header import BrokenImage, Header, HeaderLimits, Source, read_exactly

_MAX_BLOCKS = 2_000_000
"""Sub-blocks of at most 255 bytes: half a gigabyte of valid data, and at most a second of walking."""

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_IMAGE_DESCRIPTOR_BYTES = 10
_XMP = b"\xff\x0bXMP DataXMP"
"""The application extension that holds its packet as it is, not in sub-blocks (XMP specification, part 3)."""


def read_gif(source: Source, limits: HeaderLimits) -> Header:
    """Count frames up to one more than the limit. Raises BrokenImage."""
    width, height, flags = struct.unpack("<HHB", read_exactly(source, 6, 5))
    header = Header(width=width, height=height, frames=0)
    for introducer, start, end in _blocks(source, 13 + _color_table_bytes(flags)):
        if introducer == _IMAGE:
            _frame(header, source, start)
        else:
            _extension(header, source, start, end, limits)
        if header.frames > limits.frames:
            break
    if not header.frames:
        raise BrokenImage("there is no picture in the file")
    return header


def _blocks(source: Source, at: int) -> Iterator[tuple[int, int, int]]:
    """Extensions and images as (introducer, start, end). Skips other bytes between them, as decoders do."""
    walked = 0
    while at < len(source) and source[at] != _TRAILER:
        start, introducer = at, source[at]
        if introducer == _EXTENSION:
            at, count = _skip_sub_blocks(source, start + 2)
        elif introducer == _IMAGE:
            if len(source) < start + _IMAGE_DESCRIPTOR_BYTES:
                return
            table_bytes = _color_table_bytes(source[start + 9])
            # one byte with the LZW code size stands between the color table and the sub-blocks
            at, count = _skip_sub_blocks(source, start + _IMAGE_DESCRIPTOR_BYTES + table_bytes + 1)
        else:
            at, count = at + 1, 1
        walked += count
        if walked > _MAX_BLOCKS:
            raise BrokenImage("there are too many blocks")
        if introducer in (_EXTENSION, _IMAGE):
            yield introducer, start, at


def _skip_sub_blocks(source: Source, at: int) -> tuple[int, int]:
    """The offset after a chain of sub-blocks, and how many there are."""
    end, walked = len(source), 0
    while at < end:
        size = source[at]
        at += size + 1
        walked += 1
        if not size or walked > _MAX_BLOCKS:
            break
    return at, walked


def _color_table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _frame(header: Header, source: Source, start: int) -> None:
    if header.frames == 0:
        left, top, width, height = struct.unpack("<HHHH", source[start + 1 : start + 9])
        _fit_screen(header, left + width, top + height)
    header.frames += 1


def _fit_screen(header: Header, right: int, bottom: int) -> None:
    """Use the first frame's size for a screen without a size, which old encoders wrote.

    Decoders also enlarge the screen to the first frame; ``bytes_per_pixel`` accounts for that memory.
    """
    header.width = header.width or right
    header.height = header.height or bottom
    enlarged = max(header.width, right) * max(header.height, bottom)
    header.bytes_per_pixel = 4 * -(-enlarged // max(1, header.width * header.height))


def _extension(header: Header, source: Source, start: int, end: int, limits: HeaderLimits) -> None:
    packet = start + 1 + len(_XMP)
    if header.xmp is None and source[start + 1 : packet] == _XMP:
        header.text_bytes = end - start
        header.xmp = source[packet : min(end, packet + limits.text_bytes)]
