"""The header of a PNG or APNG (W3C PNG, third edition): every chunk's outline; compressed ones within the budget."""

import re
import struct
import zlib

from imagesvc.processing.headers.header import Broken, Budget, Header, Source, take

_MAX_CHUNKS = 200_000
"""Past it a walk would cost more than it can find; pixels of a real file come in far fewer."""
_BYTES_PER_PIXEL = {0: 2, 2: 4, 3: 4, 4: 4, 6: 4}


def read_png(source: Source, budget: Budget) -> Header:
    header = Header()
    length, kind = struct.unpack(">I4s", take(source, 8, 8))
    if kind != b"IHDR" or length != 13:
        raise Broken("the first chunk is not a header")
    header.width, header.height, depth, colour = struct.unpack_from(">IIBB", take(source, 16, 13))
    header.bytes_per_pixel = 1 if colour == 0 and depth <= 8 else _BYTES_PER_PIXEL.get(colour, 4)
    at, seen_pixels, is_srgb = 33, False, False
    for _ in range(_MAX_CHUNKS):
        outline = source[at : at + 8]
        if len(outline) < 8:
            break
        length, kind = struct.unpack(">I4s", outline)
        if kind == b"IEND":
            break
        start, end = at + 8, at + 8 + length
        if kind == b"IDAT":
            seen_pixels = True
        elif kind == b"sRGB":
            is_srgb = True
        elif kind == b"acTL" and length >= 4:
            header.frames = max(1, int.from_bytes(take(source, start, 4), "big"))
        elif kind in _CHUNKS and end <= len(source):
            _CHUNKS[kind](header, source[start:end], budget)
        at = end + 4
        if header.text_bytes > budget.text_bytes or header.profile_bytes > budget.profile_bytes:
            break
    else:
        raise Broken("there are too many chunks")
    if is_srgb:
        header.gamma = header.chromaticities = None
    within = header.text_bytes <= budget.text_bytes and header.profile_bytes <= budget.profile_bytes
    if not seen_pixels and within:
        raise Broken("the file ends before the picture begins")
    return header


def _inflate(data: bytes, limit: int) -> bytes:
    """At most ``limit`` + 1 bytes: one more tells that there was more. A broken stream gives what it held."""
    try:
        return zlib.decompressobj().decompress(data, limit + 1)
    except zlib.error:
        return b""


def _profile(header: Header, data: bytes, budget: Budget) -> None:
    _, _, rest = data.partition(b"\0")
    header.profile_bytes = len(_inflate(rest[1:], budget.profile_bytes))


def _text(header: Header, data: bytes, budget: Budget) -> None:
    keyword, _, text = data.partition(b"\0")
    header.text_bytes += len(text)
    _known(header, keyword, text)


def _compressed_text(header: Header, data: bytes, budget: Budget) -> None:
    keyword, _, rest = data.partition(b"\0")
    text = _inflate(rest[1:], budget.text_bytes)
    header.text_bytes += len(text)
    _known(header, keyword, text)


def _international_text(header: Header, data: bytes, budget: Budget) -> None:
    keyword, _, rest = data.partition(b"\0")
    compressed, body = rest[:1] == b"\1", rest[2:].split(b"\0", 2)
    if len(body) < 3:
        return
    text = _inflate(body[2], budget.text_bytes) if compressed else body[2]
    header.text_bytes += len(text)
    _known(header, keyword, text)


def _known(header: Header, keyword: bytes, text: bytes) -> None:
    """XMP, and the hexadecimal profiles that ImageMagick wrote before PNG had a chunk for EXIF."""
    if keyword == b"XML:com.adobe.xmp" and header.xmp is None:
        header.xmp = text
    elif keyword in (b"Raw profile type exif", b"Raw profile type APP1") and header.exif is None:
        block = _unhex(text)
        if block.startswith(b"Exif\0\0"):
            header.exif = block[6:]
    elif keyword == b"Raw profile type xmp" and header.xmp is None:
        header.xmp = _unhex(text)


def _unhex(text: bytes) -> bytes:
    match = re.match(rb"\s*[a-z0-9]+\s+\d+\s+([0-9a-fA-F\s]*)", text)
    try:
        return bytes.fromhex(match[1].decode("ascii")) if match else b""
    except ValueError:
        return b""


def _exif(header: Header, data: bytes, budget: Budget) -> None:
    header.exif = data[6:] if data.startswith(b"Exif\0\0") else data


def _code_points(header: Header, data: bytes, budget: Budget) -> None:
    if len(data) == 4:
        header.primaries, header.transfer = data[0], data[1]


def _gamma(header: Header, data: bytes, budget: Budget) -> None:
    if len(data) == 4:
        header.gamma = int.from_bytes(data, "big") / 100_000


def _chromaticities(header: Header, data: bytes, budget: Budget) -> None:
    if len(data) == 32:
        header.chromaticities = tuple(value / 100_000 for value in struct.unpack(">8I", data))


_CHUNKS = {
    b"iCCP": _profile,
    b"tEXt": _text,
    b"zTXt": _compressed_text,
    b"iTXt": _international_text,
    b"eXIf": _exif,
    b"cICP": _code_points,
    b"gAMA": _gamma,
    b"cHRM": _chromaticities,
}
