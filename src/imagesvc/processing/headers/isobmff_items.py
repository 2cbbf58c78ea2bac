"""Reads the item tables of HEIF and AVIF: types, locations, properties and which item has which (ISO/IEC 14496-12)."""

from dataclasses import dataclass

from imagesvc.processing.headers.header import BrokenImage, Source, read_exactly
from imagesvc.processing.headers.isobmff_boxes import MAX_BOXES, Integers, Span, boxes

_MAX_EXTENTS = 200_000
"""Of all items together. Extents may have no bytes, so the file's size is no limit."""

Property = tuple[bytes, Span]
"""Box type and content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemType:
    kind: bytes
    content_type: bytes = b""
    """The media type of an item of the kind `mime`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """The tables of a `meta` box, by item number."""

    primary: int
    types: dict[int, ItemType]
    extents: dict[int, list[Span]]
    properties: dict[int, list[Property]]

    @property
    def primary_kind(self) -> bytes | None:
        item = self.types.get(self.primary)
        return item.kind if item is not None else None


def read_items(source: Source, meta: Span) -> Items | None:
    """None when the box names no primary item or has no properties. Raises BrokenImage."""
    tables = dict(boxes(source, (meta[0] + 4, meta[1])))
    if b"pitm" not in tables or b"iprp" not in tables:
        return None
    idat = tables.get(b"idat", (0, 0))[0]
    return Items(
        primary=_primary(source, tables[b"pitm"]),
        types=_types(source, tables[b"iinf"]) if b"iinf" in tables else {},
        extents=_extents(source, tables[b"iloc"], idat) if b"iloc" in tables else {},
        properties=_properties(source, tables[b"iprp"]),
    )


def _primary(source: Source, pitm: Span) -> int:
    integers = Integers(source, (pitm[0], len(source)))
    version = integers.next(1)
    integers.next(3)
    return integers.next(4 if version > 0 else 2)


def _types(source: Source, iinf: Span) -> dict[int, ItemType]:
    version = read_exactly(source, iinf[0], 1)[0]
    types = {}
    for kind, (start, end) in boxes(source, (iinf[0] + (6 if version == 0 else 8), iinf[1])):
        entry_version = read_exactly(source, start, 1)[0] if kind == b"infe" else 0
        if entry_version < 2:  # older entries have no item type
            continue
        number_bytes = 4 if entry_version >= 3 else 2
        item = int.from_bytes(read_exactly(source, start + 4, number_bytes), "big")
        types[item] = _type(source, (start + 6 + number_bytes, end))
    return types


def _type(source: Source, span: Span) -> ItemType:
    start, end = span
    kind = read_exactly(source, start, 4)
    texts = source[start + 4 : end].split(b"\0", 2) if kind == b"mime" else []  # name, content type
    return ItemType(kind=kind, content_type=texts[1] if len(texts) > 1 else b"")


def _extents(source: Source, iloc: Span, idat: int) -> dict[int, list[Span]]:
    """The extents of each item. Those of construction method 1 count from ``idat``."""
    integers = Integers(source, iloc)
    version = integers.next(1)
    integers.next(3)
    sizes = integers.next(2)
    offset_bytes, length_bytes, base_bytes = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    has_method = version in (1, 2)
    index_bytes = sizes & 15 if has_method else 0
    number_bytes = 4 if version == 2 else 2
    total = 0
    extents: dict[int, list[Span]] = {}
    for _ in range(min(integers.next(number_bytes), MAX_BOXES)):
        item = integers.next(number_bytes)
        is_in_idat = has_method and integers.next(2) & 15 == 1
        integers.next(2)  # data reference
        base = integers.next(base_bytes) + (idat if is_in_idat else 0)
        count = integers.next(2)
        total += count
        if total > _MAX_EXTENTS:
            raise BrokenImage("there are too many extents")
        spans = []
        for _ in range(count):
            integers.next(index_bytes)
            start = base + integers.next(offset_bytes)
            spans.append((start, start + integers.next(length_bytes)))
        extents[item] = spans
    return extents


def _properties(source: Source, iprp: Span) -> dict[int, list[Property]]:
    """The properties of each item, in the order of association."""
    known: list[Property] = []
    indexes: dict[int, list[int]] = {}
    for kind, span in boxes(source, iprp):
        if kind == b"ipco":
            known = list(boxes(source, span))
        elif kind == b"ipma":
            _associate(indexes, source, span)
    return {
        item: [known[index - 1] for index in associated if 0 < index <= len(known)]
        for item, associated in indexes.items()
    }


def _associate(indexes: dict[int, list[int]], source: Source, ipma: Span) -> None:
    integers = Integers(source, (ipma[0], len(source)))
    version, flags = integers.next(1), integers.next(3)
    index_bytes, index_mask = (2, 0x7FFF) if flags & 1 else (1, 0x7F)
    for _ in range(min(integers.next(4), MAX_BOXES)):
        item = integers.next(2 if version == 0 else 4)
        count = integers.next(1)
        indexes.setdefault(item, []).extend(integers.next(index_bytes) & index_mask for _ in range(count))
