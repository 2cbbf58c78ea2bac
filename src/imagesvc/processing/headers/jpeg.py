"""The header of a JPEG (ITU-T T.81): segments up to the first scan.

Only the first picture of an MPO counts: the others are its preview, its gain map or the other eye, not frames.
"""

import re

from imagesvc.processing.headers.header import Broken, Budget, Header, Refusal, Source

_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_ALONE = {0x01, *range(0xD0, 0xD9)}
_EXIF = re.compile(rb".{0,4}Exif\0.", re.DOTALL | re.IGNORECASE)
"""Some cameras write junk before the mark, or another byte than NUL after it."""
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_FULL_SEGMENT = 65_000
"""An EXIF block over one segment goes on in the next one, which then begins in the middle of it."""


def read_jpeg(source: Source, budget: Budget) -> Header:
    header = Header()
    exif: list[bytes] = []
    at = 2
    while True:
        at = source.find(b"\xff", at)
        if at < 0 or at + 2 > len(source):
            raise Broken("the file ends before the picture begins")
        marker = source[at + 1]
        if marker in (0x00, 0xFF) or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xD9:
            raise Broken("the file ends before the picture begins")
        length = int.from_bytes(source[at + 2 : at + 4], "big")
        if length < 2:
            raise Broken("a segment has no length")
        start, end = at + 4, at + 2 + length
        if marker in _FRAMES and not header.width:
            _frame(header, source[start:end])
        elif marker == 0xDA:
            break
        elif marker == 0xE1:
            _application(header, exif, source[start:end])
        elif marker == 0xE2 and source[start : start + 12] == b"ICC_PROFILE\0":
            header.profile_bytes += length - 16
        elif marker == 0xFE:
            header.text_bytes += length - 2
        at = end
    if not header.width:
        raise Broken("no frame header before the first scan")
    header.exif = b"".join(exif) or None
    return header


def _frame(header: Header, data: bytes) -> None:
    if len(data) < 6:
        raise Broken("the frame header is too short")
    header.height, header.width = int.from_bytes(data[1:3], "big"), int.from_bytes(data[3:5], "big")
    header.bytes_per_pixel = 1 if data[5] == 1 else 4
    if not header.height and header.width:
        raise Refusal("unsupported-content", "the number of lines is not in the frame header")


def _application(header: Header, exif: list[bytes], data: bytes) -> None:
    mark = _EXIF.match(data)
    if mark:
        block = data[mark.end() :]
        begins = block[:2] in (b"II", b"MM")
        if not exif or (len(exif[-1]) > _FULL_SEGMENT and not begins):
            exif.append(block)
        elif exif[0][:2] not in (b"II", b"MM") and begins:
            exif[:] = [block]
    elif data.startswith(_XMP) and header.xmp is None:
        header.xmp = data[len(_XMP) :]
        header.text_bytes += len(header.xmp)
