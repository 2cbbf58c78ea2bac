"""Reads the header of a PNG or APNG (W3C PNG, third edition): all chunks, inflating compressed ones up to a limit."""

import re
import struct
import zlib
from collections.abc import Callable, Iterator

from imagesvc.processing.headers.header import BrokenImage, Header, HeaderLimits, Source, read_exactly

_MAX_CHUNKS = 200_000
"""Files from real encoders have far fewer chunks."""
_METADATA = {b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME", b"pHYs"}
_BYTES_PER_PIXEL = {0: 2, 2: 4, 3: 4, 4: 4, 6: 4}
"""By color type."""


def read_png(source: Source, limits: HeaderLimits) -> Header:
    """Read all chunks, because texts may follow the pixels. Raises BrokenImage."""
    header = _image_header(source)
    has_pixels = is_srgb = False
    for kind, start, end in _chunks(source):
        if kind == b"IDAT":
            has_pixels = True
        elif kind == b"sRGB":
            is_srgb = True
        elif kind == b"acTL" and end - start >= 4 and not has_pixels:
            header.frames = max(1, int.from_bytes(read_exactly(source, start, 4), "big"))
        elif kind in _CHUNKS and end <= len(source):
            _CHUNKS[kind](header, source[start:end], limits)
        if _is_over(header, limits):
            break
    if is_srgb:
        header.gamma = header.chromaticities = None
    if not has_pixels and not _is_over(header, limits):
        raise BrokenImage("the file ends before the picture begins")
    return header


def _image_header(source: Source) -> Header:
    length, kind = struct.unpack(">I4s", read_exactly(source, 8, 8))
    if kind != b"IHDR" or length != 13:
        raise BrokenImage("the first chunk is not a header")
    width, height, depth, color_type = struct.unpack_from(">IIBB", read_exactly(source, 16, 13))
    is_gray_of_8_bits = color_type == 0 and depth <= 8
    return Header(
        width=width, height=height, bytes_per_pixel=1 if is_gray_of_8_bits else _BYTES_PER_PIXEL.get(color_type, 4)
    )


def _chunks(source: Source) -> Iterator[tuple[bytes, int, int]]:
    """Chunks after the first, up to IEND, as (type, start, end) of their content; the end may lie beyond the file."""
    at = 33
    for _ in range(_MAX_CHUNKS):
        head = source[at : at + 8]
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return
        yield kind, at + 8, at + 8 + length
        at += 12 + length
    raise BrokenImage("there are too many chunks")


def png_without_metadata(source: Source) -> bytes:
    """The file without texts and EXIF, and without optional chunks whose checksum is wrong."""
    parts = [source[:33]]
    for kind, start, end in _chunks(source):
        is_optional = kind[:1].islower()
        if kind in _METADATA or (is_optional and zlib.crc32(kind + source[start:end]) != _checksum(source, end)):
            continue
        parts.append(source[start - 8 : end + 4])
    parts.append(struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND")))
    return b"".join(parts)


def _checksum(source: Source, at: int) -> int:
    return int.from_bytes(source[at : at + 4], "big")


def _is_over(header: Header, limits: HeaderLimits) -> bool:
    return header.text_bytes > limits.text_bytes or header.profile_bytes > limits.profile_bytes


def _inflate(data: bytes, limit: int) -> bytes:
    """At most ``limit`` + 1 bytes, so that the caller sees that there are more. Empty for an invalid stream."""
    try:
        return zlib.decompressobj().decompress(data, limit + 1)
    except zlib.error:
        return b""


def _profile(header: Header, data: bytes, limits: HeaderLimits) -> None:
    _, _, rest = data.partition(b"\0")
    header.profile_bytes = len(_inflate(rest[1:], limits.profile_bytes))


def _text(header: Header, data: bytes, limits: HeaderLimits) -> None:
    keyword, _, text = data.partition(b"\0")
    _add_text(header, keyword, text)


def _compressed_text(header: Header, data: bytes, limits: HeaderLimits) -> None:
    keyword, _, rest = data.partition(b"\0")
    _add_text(header, keyword, _inflate(rest[1:], limits.text_bytes))


def _international_text(header: Header, data: bytes, limits: HeaderLimits) -> None:
    keyword, _, rest = data.partition(b"\0")
    is_compressed, fields = rest[:1] == b"\1", rest[2:].split(b"\0", 2)
    if len(fields) == 3:  # language, translated keyword, text
        _add_text(header, keyword, _inflate(fields[2], limits.text_bytes) if is_compressed else fields[2])


def _add_text(header: Header, keyword: bytes, text: bytes) -> None:
    """Count the text; keep XMP, and the hexadecimal profiles that ImageMagick wrote before PNG had an EXIF chunk."""
    header.text_bytes += len(text)
    if keyword == b"XML:com.adobe.xmp" and header.xmp is None:
        header.xmp = text
    elif keyword in (b"Raw profile type exif", b"Raw profile type APP1") and header.exif is None:
        block = _from_hexadecimal(text)
        if block.startswith(b"Exif\0\0"):
            header.exif = block[6:]
    elif keyword == b"Raw profile type xmp" and header.xmp is None:
        header.xmp = _from_hexadecimal(text)


def _from_hexadecimal(text: bytes) -> bytes:
    match = re.match(rb"\s*[a-z0-9]+\s+\d+\s+([0-9a-fA-F\s]*)", text)
    try:
        return bytes.fromhex(match[1].decode("ascii")) if match else b""
    except ValueError:
        return b""


def _exif(header: Header, data: bytes, limits: HeaderLimits) -> None:
    header.exif = data.removeprefix(b"Exif\0\0")


def _code_points(header: Header, data: bytes, limits: HeaderLimits) -> None:
    """Matrix coefficients are 0 in a PNG. Of the two ranges, only the full one is converted."""
    if len(data) == 4 and data[2] == 0 and data[3] == 1:
        header.set_code_points(data[0], data[1])
    else:
        header.notes.append("color-code-points-ignored")


def _gamma(header: Header, data: bytes, limits: HeaderLimits) -> None:
    if len(data) == 4:
        header.gamma = int.from_bytes(data, "big") / 100_000


def _chromaticities(header: Header, data: bytes, limits: HeaderLimits) -> None:
    if len(data) == 32:
        header.chromaticities = tuple(value / 100_000 for value in struct.unpack(">8I", data))


_CHUNKS: dict[bytes, Callable[[Header, bytes, HeaderLimits], None]] = {
    b"iCCP": _profile,
    b"tEXt": _text,
    b"zTXt": _compressed_text,
    b"iTXt": _international_text,
    b"eXIf": _exif,
    b"cICP": _code_points,
    b"gAMA": _gamma,
    b"cHRM": _chromaticities,
}
