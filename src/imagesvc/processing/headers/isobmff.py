"""The header of HEIF and AVIF files (ISO/IEC 14496-12, 23008-12): the primary item's properties, or a track's.

Stored size is the primary item's `ispe`; rotation (`irot`), mirroring (`imir`) and cropping (`clap`) belong to the
container and are applied in its own order, which MIAF fixes as crop, rotate, mirror.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from imagesvc.processing.headers.header import Broken, Budget, Header, Refusal, Source, take

_MAX_BOXES = 20_000
_MAX_METADATA_BYTES = 64 * 1024 * 1024

Span = tuple[int, int]
"""begin and end in the source"""


def read_isobmff(source: Source, budget: Budget) -> Header:
    header = Header(own_orientation=False)
    top = dict(_boxes(source, (0, len(source))))
    track = _track(source, top[b"moov"]) if b"moov" in top else None
    if b"meta" in top:
        _still(header, source, top[b"meta"], budget)
    elif track is None:
        raise Broken("the file ends before the picture is described")
    if track is not None:
        header.frames = max(1, track.samples)
        header.width, header.height = header.width or track.width, header.height or track.height
    return header


def _boxes(source: Source, span: Span) -> Iterator[tuple[bytes, Span]]:
    at, end = span
    for _ in range(_MAX_BOXES):
        outline = source[at : min(at + 16, end)]
        if len(outline) < 8:
            return
        size, kind = struct.unpack_from(">I4s", outline)
        body = 8
        if size == 1 and len(outline) == 16:
            size, body = struct.unpack_from(">Q", outline, 8)[0], 16
        elif size == 0:
            size = end - at
        if size < body:
            return
        yield kind, (at + body, min(at + size, end))
        at += size
    raise Broken("there are too many boxes")


@dataclass(slots=True)
class _Track:
    width: int = 0
    height: int = 0
    samples: int = 0


def _track(source: Source, moov: Span) -> _Track | None:
    """The first track with a picture size: of an image sequence its first track is the one that is shown."""
    for kind, trak in _boxes(source, moov):
        if kind != b"trak":
            continue
        found = _Track()
        for child, span in _boxes(source, trak):
            if child == b"tkhd" and span[1] - span[0] >= 8:
                width, height = struct.unpack(">II", take(source, span[1] - 8, 8))
                found.width, found.height = width >> 16, height >> 16
            elif child == b"mdia":
                found.samples = _samples(source, span)
        if found.width and found.height:
            return found
    return None


def _samples(source: Source, mdia: Span) -> int:
    for wanted in (b"minf", b"stbl", b"stsz"):
        mdia = next((span for kind, span in _boxes(source, mdia) if kind == wanted), (0, 0))
    return int(struct.unpack(">I", take(source, mdia[0] + 8, 4))[0]) if mdia[1] - mdia[0] >= 12 else 0


@dataclass(slots=True)
class _Items:
    primary: int = 0
    kinds: dict[int, bytes] = field(default_factory=dict)
    content_types: dict[int, bytes] = field(default_factory=dict)
    extents: dict[int, list[Span]] = field(default_factory=dict)
    properties: list[tuple[bytes, Span]] = field(default_factory=list)
    belonging: dict[int, list[int]] = field(default_factory=dict)


def _still(header: Header, source: Source, meta: Span, budget: Budget) -> None:
    items = _Items()
    children = dict(_boxes(source, (meta[0] + 4, meta[1])))
    if b"pitm" not in children or b"iprp" not in children:
        return
    start = children[b"pitm"][0]
    wide = take(source, start, 1)[0] > 0
    items.primary = int.from_bytes(take(source, start + 4, 4 if wide else 2), "big")
    if b"iinf" in children:
        _item_infos(items, source, children[b"iinf"])
    if b"iloc" in children:
        _item_locations(items, source, children[b"iloc"], children.get(b"idat", (0, 0))[0])
    for kind, span in _boxes(source, children[b"iprp"]):
        if kind == b"ipco":
            items.properties = list(_boxes(source, span))
        elif kind == b"ipma":
            _associations(items, source, span)
    _apply_properties(header, source, items)
    coded = (items.extents.get(item, []) for item, kind in items.kinds.items() if kind in _PICTURES)
    if any(end > len(source) for extents in coded for _, end in extents):
        raise Broken("the file ends before its pixels do")
    _metadata(header, source, items, budget)


def _item_infos(items: _Items, source: Source, iinf: Span) -> None:
    version = take(source, iinf[0], 1)[0]
    for kind, (at, end) in _boxes(source, (iinf[0] + (6 if version == 0 else 8), iinf[1])):
        if kind != b"infe" or (version_of_entry := take(source, at, 1)[0]) < 2:
            continue
        wide = version_of_entry >= 3
        number = int.from_bytes(take(source, at + 4, 4 if wide else 2), "big")
        name = at + (10 if wide else 8)
        items.kinds[number] = take(source, name, 4)
        if items.kinds[number] == b"mime":
            texts = source[name + 4 : end].split(b"\0")
            items.content_types[number] = texts[1] if len(texts) > 1 else b""


def _item_locations(items: _Items, source: Source, iloc: Span, idat: int) -> None:
    version, sizes = take(source, iloc[0], 1)[0], take(source, iloc[0] + 4, 2)
    offset_bytes, length_bytes, base_bytes = sizes[0] >> 4, sizes[0] & 15, sizes[1] >> 4
    index_bytes = sizes[1] & 15 if version in (1, 2) else 0
    at = iloc[0] + 6

    def number(size: int) -> int:
        nonlocal at
        if at + size > iloc[1]:
            raise Broken("the item locations end too early")
        value = int.from_bytes(source[at : at + size], "big")
        at += size
        return value

    for _ in range(min(number(4 if version == 2 else 2), _MAX_BOXES)):
        item = number(4 if version == 2 else 2)
        in_idat = version in (1, 2) and number(2) & 15 == 1
        number(2)
        base = number(base_bytes) + (idat if in_idat else 0)
        extents = []
        for _ in range(number(2)):
            number(index_bytes)
            begin = base + number(offset_bytes)
            extents.append((begin, begin + number(length_bytes)))
        items.extents[item] = extents


def _associations(items: _Items, source: Source, ipma: Span) -> None:
    flags = take(source, ipma[0], 4)
    version, large = flags[0], flags[3] & 1
    (count,) = struct.unpack(">I", take(source, ipma[0] + 4, 4))
    at = ipma[0] + 8
    for _ in range(min(count, _MAX_BOXES)):
        width = 2 if version == 0 else 4
        item = int.from_bytes(take(source, at, width), "big")
        number = take(source, at + width, 1)[0]
        at += width + 1
        unit = 2 if large else 1
        data = take(source, at, unit * number)
        mask = 0x7FFF if large else 0x7F
        indexes = [int.from_bytes(data[n : n + unit], "big") & mask for n in range(0, len(data), unit)]
        items.belonging.setdefault(item, []).extend(indexes)
        at += unit * number


def _apply_properties(header: Header, source: Source, items: _Items) -> None:
    orientation, turned = 1, False
    for index in items.belonging.get(items.primary, []):
        if not 0 < index <= len(items.properties):
            continue
        kind, (at, end) = items.properties[index - 1]
        if kind == b"ispe":
            header.width, header.height = struct.unpack(">II", take(source, at + 4, 8))
        elif kind == b"irot":
            orientation, turned = _then(orientation, _ROTATED[take(source, at, 1)[0] & 3]), True
        elif kind == b"imir":
            orientation, turned = _then(orientation, 2 if take(source, at, 1)[0] & 1 else 4), True
        elif kind == b"clap" and end - at >= 32:
            header.crop = _crop(header, struct.unpack(">IIIIiIiI", take(source, at, 32)))
        elif kind == b"colr":
            _colour(header, source, at, end)
    header.container_orientation = orientation if turned else None
    if items.kinds.get(items.primary) not in _PICTURES:
        raise Refusal("unsupported-content", "the picture's coding is not one that is taken")


_PICTURES = {b"hvc1", b"hev1", b"lhv1", b"av01", b"grid", b"iovl", b"iden", b"jpeg", b"tmap", b"unci"}
_ROTATED = {0: 1, 1: 8, 2: 3, 3: 6}
"""`irot` counts quarter turns anticlockwise"""

_MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, -1, 1, 0),
    7: (0, -1, -1, 0),
    8: (0, 1, -1, 0),
}


def _then(first: int, second: int) -> int:
    """One EXIF orientation after another, as one."""
    a, b, c, d = _MATRICES[second]
    e, f, g, h = _MATRICES[first]
    product = (a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h)
    return next(number for number, matrix in _MATRICES.items() if matrix == product)


def _crop(header: Header, clap: tuple[int, ...]) -> tuple[int, int, int, int] | None:
    """The clean aperture: width, height and the centre's distance from the middle, each a fraction."""
    if not all(clap[1::2]):
        return None
    width, height, right, down = (n / d for n, d in zip(clap[::2], clap[1::2], strict=True))
    left = (header.width - width) / 2 + right
    top = (header.height - height) / 2 + down
    box = (round(left), round(top), round(left + width), round(top + height))
    inside = 0 <= box[0] < box[2] <= header.width and 0 <= box[1] < box[3] <= header.height
    return box if inside else None


def _colour(header: Header, source: Source, at: int, end: int) -> None:
    kind = take(source, at, 4)
    if kind in (b"prof", b"rICC"):
        header.profile_bytes = end - at - 4
    elif kind == b"nclx" and end - at >= 8:
        header.primaries, header.transfer = struct.unpack(">HH", take(source, at + 4, 4))


def _metadata(header: Header, source: Source, items: _Items, budget: Budget) -> None:
    for item, kind in items.kinds.items():
        if kind == b"Exif" and header.exif is None:
            header.exif = _exif(_content(source, items.extents.get(item, []), _MAX_METADATA_BYTES))
        elif kind == b"mime" and items.content_types.get(item) == b"application/rdf+xml" and header.xmp is None:
            header.text_bytes += sum(end - begin for begin, end in items.extents.get(item, []))
            header.xmp = _content(source, items.extents.get(item, []), budget.text_bytes)


def _exif(block: bytes) -> bytes | None:
    """Four bytes say how far behind them the TIFF structure begins; some writers forget them or count wrong."""
    skip = int.from_bytes(block[:4], "big") + 4
    for candidate in (block[skip:], block[4:].removeprefix(b"Exif\0\0"), block.removeprefix(b"Exif\0\0")):
        if candidate[:2] in (b"II", b"MM"):
            return candidate
    return None


def _content(source: Source, extents: list[Span], limit: int) -> bytes:
    """The item's bytes; a length of 0 means up to the end of the file."""
    parts, room = [], limit
    for begin, end in extents[:64]:
        part = source[begin : min(end if end > begin else len(source), begin + room)]
        parts.append(part)
        room -= len(part)
    return b"".join(parts)
