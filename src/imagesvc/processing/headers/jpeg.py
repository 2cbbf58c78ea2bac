"""Reads the header of a JPEG (ITU-T T.81): the segments up to the first scan.

Only the first picture of an MPO counts: the others are its preview, its gain map or the other eye's view, not frames.
"""

import re
from collections.abc import Iterator

from imagesvc.processing.headers.header import BrokenImage, Header, HeaderLimits, Refusal, Source

_START_OF_FRAME = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_END_OF_IMAGE, _START_OF_SCAN, _APP1, _APP2, _COMMENT = 0xD9, 0xDA, 0xE1, 0xE2, 0xFE

_EXIF = re.compile(rb".{0,4}Exif\0.", re.DOTALL | re.IGNORECASE)
"""Some cameras write up to four bytes before the identifier, or a byte other than NUL after it."""
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_ICC_PROFILE = b"ICC_PROFILE\0"
_FULL_SEGMENT_BYTES = 65_000
"""An EXIF block that is larger than one segment continues in the next one, which has no byte order mark."""


def read_jpeg(source: Source, limits: HeaderLimits) -> Header:
    """Read the frame header and the metadata segments. Raises Refusal."""
    header = Header()
    exif: list[bytes] = []
    for marker, start, end in _segments(source):
        if marker == _START_OF_SCAN:
            break
        if marker in _START_OF_FRAME and not header.width:
            _frame(header, source[start:end])
        elif marker == _APP1:
            _exif_or_xmp(header, exif, source[start:end])
        elif marker == _APP2 and source[start : start + 12] == _ICC_PROFILE:
            header.profile_bytes += end - start - 14
        elif marker == _COMMENT:
            header.text_bytes += end - start
    if not header.width:
        raise BrokenImage("no frame header before the first scan")
    header.exif = b"".join(exif) or None
    return header


def _segments(source: Source) -> Iterator[tuple[int, int, int]]:
    """Segments with a length as (marker, start, end) of their content; the end may lie beyond the file.

    Skips junk between segments, as decoders do.
    """
    at = 2
    while True:
        at = source.find(b"\xff", at)
        if at < 0 or at + 2 > len(source):
            raise BrokenImage("the file ends before the picture begins")
        marker = source[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker == 0x00 or marker in _WITHOUT_LENGTH:
            at += 2
        elif marker == _END_OF_IMAGE:
            raise BrokenImage("the file ends before the picture begins")
        else:
            length = int.from_bytes(source[at + 2 : at + 4], "big")
            if length < 2:
                raise BrokenImage("a segment has no length")
            yield marker, at + 4, at + 2 + length
            at += 2 + length


def _frame(header: Header, data: bytes) -> None:
    if len(data) < 6:
        raise BrokenImage("the frame header is too short")
    header.height, header.width = int.from_bytes(data[1:3], "big"), int.from_bytes(data[3:5], "big")
    header.bytes_per_pixel = 1 if data[5] == 1 else 4
    if not header.height and header.width:
        raise Refusal("unsupported-content", "the number of lines is not in the frame header")


def _exif_or_xmp(header: Header, exif: list[bytes], data: bytes) -> None:
    if identifier := _EXIF.match(data):
        _add_exif(exif, data[identifier.end() :])
    elif data.startswith(_XMP) and header.xmp is None:
        header.xmp = data[len(_XMP) :]
        header.text_bytes += len(header.xmp)


def _add_exif(exif: list[bytes], block: bytes) -> None:
    """Keep the first block and its continuations; a later block replaces a first one without a byte order mark."""
    is_start = _has_byte_order(block)
    if not exif or (len(exif[-1]) > _FULL_SEGMENT_BYTES and not is_start):
        exif.append(block)
    elif is_start and not _has_byte_order(exif[0]):
        exif[:] = [block]


def _has_byte_order(block: bytes) -> bool:
    return block[:2] in (b"II", b"MM")
