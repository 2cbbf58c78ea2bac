"""Builds EXIF and XMP blocks byte by byte, including invalid ones that no library writes."""

import struct
from dataclasses import dataclass

ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL = 2, 3, 4, 5, 7, 10
_UNIT = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 10: 8, 12: 8, 129: 1}


@dataclass(frozen=True)
class Tag:
    """One directory entry. ``count`` is the stated count; None: derived from the length of the data."""

    number: int
    kind: int
    data: bytes
    count: int | None = None


def text(number: int, value: str | bytes, kind: int = ASCII) -> Tag:
    data = value.encode() if isinstance(value, str) else value
    return Tag(number, kind, data + b"\0")


def short(number: int, value: int) -> Tag:
    return Tag(number, SHORT, struct.pack(">H", value))


def long(number: int, value: int) -> Tag:
    return Tag(number, LONG, struct.pack(">I", value))


def fractions(number: int, *values: tuple[int, int]) -> Tag:
    return Tag(number, RATIONAL, b"".join(struct.pack(">II", *value) for value in values))


def byte(number: int, value: int) -> Tag:
    return Tag(number, 1, bytes([value]))


def block(*main: Tag, exif: tuple[Tag, ...] = (), gps: tuple[Tag, ...] = ()) -> bytes:
    """A big-endian TIFF structure: the main directory, and the Exif and GPS directories when they have tags."""
    start = 8
    main_bytes = _directory_bytes(len(main) + bool(exif) + bool(gps))
    after = start + main_bytes + _external_bytes(main)
    pointers: list[Tag] = []
    exif_at = after
    gps_at = exif_at + (_directory_bytes(len(exif)) + _external_bytes(exif) if exif else 0)
    if exif:
        pointers.append(long(0x8769, exif_at))
    if gps:
        pointers.append(long(0x8825, gps_at))
    parts = [b"MM\0*" + struct.pack(">I", start), directory([*main, *pointers], start)]
    parts += [directory(list(exif), exif_at)] if exif else []
    parts += [directory(list(gps), gps_at)] if gps else []
    return b"".join(parts)


def directory(tags: list[Tag], at: int, following: int = 0) -> bytes:
    """An image file directory at offset ``at``; ``following`` is the offset of the next one."""
    table, external = struct.pack(">H", len(tags)), b""
    values_at = at + _directory_bytes(len(tags))
    for tag in tags:
        count = tag.count if tag.count is not None else len(tag.data) // _UNIT[tag.kind]
        value = tag.data.ljust(4, b"\0") if len(tag.data) <= 4 else struct.pack(">I", values_at + len(external))
        if len(tag.data) > 4:
            external += tag.data
        table += struct.pack(">HHI", tag.number, tag.kind, count) + value
    return table + struct.pack(">I", following) + external


def _directory_bytes(tags: int) -> int:
    return 2 + 12 * tags + 4


def _external_bytes(tags: tuple[Tag, ...]) -> int:
    return sum(len(tag.data) for tag in tags if len(tag.data) > 4)


def jpeg_with(jpeg: bytes, *, exif: bytes | None = None, xmp: bytes | None = None) -> bytes:
    """The JPEG with these blocks inserted after the SOI marker."""
    segments = b""
    for mark, data in ((b"Exif\0\0", exif), (b"http://ns.adobe.com/xap/1.0/\0", xmp)):
        if data is not None:
            segments += b"\xff\xe1" + struct.pack(">H", 2 + len(mark) + len(data)) + mark + data
    return jpeg[:2] + segments + jpeg[2:]


def packet(attributes: str = "", children: str = "") -> bytes:
    """An XMP packet whose only description has these attributes and children."""
    spaces = {
        "tiff": "http://ns.adobe.com/tiff/1.0/",
        "exif": "http://ns.adobe.com/exif/1.0/",
        "xmp": "http://ns.adobe.com/xap/1.0/",
        "aux": "http://ns.adobe.com/exif/1.0/aux/",
        "photoshop": "http://ns.adobe.com/photoshop/1.0/",
        "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    }
    names = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in spaces.items())
    return (
        f'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {names}>'
        f'<rdf:Description rdf:about="" {attributes}>{children}</rdf:Description></rdf:RDF></x:xmpmeta>'
        '<?xpacket end="w"?>'
    ).encode()
