"""Detects an accepted image format by the first bytes of a file, never by its name or declared type.

Needs no imaging library, because the web process calls it before it accepts a file.
"""

import struct

SNIFF_BYTES = 256
"""How many bytes of the start of a file :func:`sniff` needs. A shorter file is passed whole."""

EXTENSION_OF = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/tiff": "tif",
    "image/bmp": "bmp",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/avif": "avif",
}
"""The accepted media types, and the file name extension of each."""

_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_HEIF_BRANDS = {b"mif1", b"mif2", b"msf1", b"miaf"}

_BMP_HEADER_BYTES = {12, 16, 40, 52, 56, 64, 108, 124}
_BMP_BITS = {1, 2, 4, 8, 16, 24, 32}


def sniff(head: bytes) -> str | None:
    """Media type of an accepted format, None for anything else (SVG, HTML, video, camera raw, an empty file)."""
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg" if _is_jpeg(head) else None
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png" if head[12:16] == b"IHDR" else None
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif" if len(head) >= 13 else None
    if head.startswith(b"RIFF"):
        return "image/webp" if head[8:12] == b"WEBP" and head[12:16] in (b"VP8 ", b"VP8L", b"VP8X") else None
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "image/tiff" if _is_tiff(head) else None
    if head.startswith(b"BM"):
        return "image/bmp" if _is_bmp(head) else None
    if head[4:8] == b"ftyp":
        return _type_of_brands(head)
    return None


def _is_jpeg(head: bytes) -> bool:
    """After SOI and any fill bytes, the marker must be one that can start an image. 0xF7 would be JPEG-LS."""
    marker = head[2:].lstrip(b"\xff")[:1]
    return bool(marker) and (0xC0 <= marker[0] <= 0xCF or 0xDA <= marker[0] <= 0xEF or marker[0] == 0xFE)


def _is_tiff(head: bytes) -> bool:
    if len(head) < 16:
        return False
    order = "<" if head[:2] == b"II" else ">"
    if 43 in head[2:4]:
        offset_bytes, reserved, first = struct.unpack_from(order + "HHQ", head, 4)
        return (offset_bytes, reserved) == (8, 0) and first >= 16
    canon_raw = head[8:10] == b"CR"
    return struct.unpack_from(order + "I", head, 4)[0] >= 8 and not canon_raw


def _is_bmp(head: bytes) -> bool:
    """Two letters are a weak signature, so the fields of the information header must be plausible too."""
    if len(head) < 26:
        return False
    pixel_offset, header_bytes = struct.unpack_from("<II", head, 10)
    if header_bytes not in _BMP_HEADER_BYTES or not 0 <= pixel_offset < 2**31:
        return False
    is_os2 = header_bytes == 12
    width, height, planes, bits = struct.unpack_from("<HHHH" if is_os2 else "<iiHH", head.ljust(30, b"\0"), 18)
    return bool(width > 0 and height != 0 and planes in (0, 1) and bits in _BMP_BITS)


def _type_of_brands(head: bytes) -> str | None:
    """The major brand decides if it names a codec, otherwise the compatible brands (ISO/IEC 23008-12)."""
    size = int.from_bytes(head[:4], "big")
    if size < 16 or size % 4:
        return None
    major = head[8:12]
    brands = {head[offset : offset + 4] for offset in range(16, min(size, len(head)) - 3, 4)}
    if major in _AVIF_BRANDS:
        return "image/avif"
    if major in _HEIC_BRANDS:
        return "image/heic"
    if major not in _HEIF_BRANDS and not brands & _HEIF_BRANDS:
        return None
    if brands & _AVIF_BRANDS:
        return "image/avif"
    if brands & _HEIC_BRANDS:
        return "image/heic"
    return "image/heif" if major in _HEIF_BRANDS else None
