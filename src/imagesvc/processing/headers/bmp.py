"""The header of a Windows or OS/2 bitmap."""

import struct

from imagesvc.processing.headers.header import Budget, Header, Source, take


def read_bmp(source: Source, budget: Budget) -> Header:
    (header_bytes,) = struct.unpack("<I", take(source, 14, 4))
    if header_bytes == 12:
        width, height, _, bits = struct.unpack("<HHHH", take(source, 18, 8))
    else:
        width, height, _, bits = struct.unpack("<iiHH", take(source, 18, 12))
    header = Header(width=width, height=abs(height), bytes_per_pixel=1 if bits <= 8 else 4)
    if header_bytes == 124 and take(source, 14 + 56, 4) == b"DEBM":
        (header.profile_bytes,) = struct.unpack("<I", take(source, 14 + 116, 4))
    return header
