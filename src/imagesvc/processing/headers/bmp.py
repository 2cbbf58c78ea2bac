"""Reads the header of a Windows or OS/2 bitmap."""

import struct

from imagesvc.processing.headers.header import Header, HeaderLimits, Source, read_exactly

_CORE_HEADER_BYTES, _V5_HEADER_BYTES = 12, 124
_EMBEDDED_PROFILE = b"DEBM"
"""The color space `PROFILE_EMBEDDED` ("MBED"), little-endian."""


def read_bmp(source: Source, limits: HeaderLimits) -> Header:
    """Read the information header, which follows the 14 bytes of the file header. Raises BrokenImage."""
    (header_bytes,) = struct.unpack("<I", read_exactly(source, 14, 4))
    if header_bytes == _CORE_HEADER_BYTES:
        width, height, _, bits = struct.unpack("<HHHH", read_exactly(source, 18, 8))
    else:
        width, height, _, bits = struct.unpack("<iiHH", read_exactly(source, 18, 12))
    header = Header(width=width, height=abs(height), bytes_per_pixel=1 if bits <= 8 else 4)
    if header_bytes == _V5_HEADER_BYTES and read_exactly(source, 14 + 56, 4) == _EMBEDDED_PROFILE:
        (header.profile_bytes,) = struct.unpack("<I", read_exactly(source, 14 + 116, 4))
    return header
