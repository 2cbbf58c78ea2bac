"""Reads how the samples of a TIFF page lie in the file, and checks whether this package can decode them (TIFF 6.0)."""

import math
from dataclasses import dataclass

from imagesvc.processing.headers import Source
from imagesvc.processing.headers.tiff_directory import Directory, Structure

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 0x100, 0x101, 0x102, 0x103, 0x106, 0x10A
_SAMPLES, _PLANAR, _PREDICTOR, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 0x115, 0x11C, 0x13D, 0x152, 0x153
_STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_BYTES = 0x111, 0x116, 0x117
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 0x142, 0x143, 0x144, 0x145
_COLOR_MAP = 0x140

UNCOMPRESSED, DEFLATE, OLD_DEFLATE, PACK_BITS = 1, 8, 32_946, 32_773
"""Compressions."""
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK = 0, 1, 2, 3, 5
"""Photometric interpretations."""
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
"""Sample formats."""
HORIZONTAL_DIFFERENCES = 2
"""The predictor: each sample is stored as the difference from its left neighbor."""
PREMULTIPLIED_ALPHA, ALPHA = 1, 2
"""Meanings of an extra sample."""

COLORS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4}
"""Samples of a pixel without extra samples."""

_MAX_PARTS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TiffLayout:
    """How one page is stored. A part is a strip or a tile; the last strip and the last tiles may be partly unused."""

    width: int
    height: int
    samples: int
    """Of a pixel, with extra samples."""
    bits: int
    sample_format: int
    photometric: int
    extra_sample: int | None
    """The meaning of the first extra sample."""
    compression: int
    predictor: int
    planes: int
    """1, or one for each sample."""
    part_width: int
    part_height: int
    offsets: list[int]
    byte_counts: list[int]
    byte_order: str
    color_map: list[int]
    """Of a palette: all reds, then all greens, then all blues, in 16 bits."""

    @property
    def samples_in_plane(self) -> int:
        return 1 if self.planes > 1 else self.samples

    @property
    def parts_across(self) -> int:
        return math.ceil(self.width / self.part_width)

    @property
    def parts_down(self) -> int:
        return math.ceil(self.height / self.part_height)


def read_layout(source: Source) -> TiffLayout | None:
    """The layout of the first page. None when this package does not decode it."""
    structure = Structure(source)
    page = structure.directory(structure.first)
    if page is None:
        return None
    depths = set(_integers(page, _BITS)) or {1}
    sample_formats = set(_integers(page, _SAMPLE_FORMAT)) or {UNSIGNED}
    is_uniform = len(depths) == len(sample_formats) == 1
    if not is_uniform or _integer(page, _FILL_ORDER, 1) != 1:
        return None
    layout = _layout(page, bits=min(depths), sample_format=min(sample_formats))
    return layout if _is_known(layout) else None


def is_misread(source: Source) -> bool:
    """Whether Pillow reads the first page without an error but wrongly, in any compression.

    It reads samples of over 8 bits in separate planes as samples of 8 bits. Of gray images, it ignores the sign of 8
    bits, scales 12 bits as 16, inverts 16 bits where 0 is white, and wraps the upper half of unsigned 32 bits.
    """
    structure = Structure(source)
    page = structure.directory(structure.first)
    if page is None:
        return False
    bits, sample_format = max(_integers(page, _BITS) or [1]), _integer(page, _SAMPLE_FORMAT, UNSIGNED)
    if _integer(page, _PLANAR, 1) == 2 and _integer(page, _SAMPLES, 1) > 1:
        return bits > 8
    photometric = _integer(page, _PHOTOMETRIC, BLACK_IS_ZERO)
    if _integer(page, _SAMPLES, 1) > 1 or photometric not in (BLACK_IS_ZERO, WHITE_IS_ZERO) or sample_format == FLOAT:
        return False
    if sample_format == SIGNED:
        return bits == 8
    return bits in (12, 32) or (bits == 16 and photometric == WHITE_IS_ZERO)


def _layout(page: Directory, *, bits: int, sample_format: int) -> TiffLayout:
    width, height, samples = _integer(page, _WIDTH, 0), _integer(page, _HEIGHT, 0), _integer(page, _SAMPLES, 1)
    photometric = _integer(page, _PHOTOMETRIC, BLACK_IS_ZERO)
    is_planar = _integer(page, _PLANAR, 1) == 2 and samples > 1
    is_tiled = _TILE_OFFSETS in page.entries
    return TiffLayout(
        width=width,
        height=height,
        samples=samples,
        bits=bits,
        sample_format=sample_format,
        photometric=photometric,
        extra_sample=page.integer(_EXTRA_SAMPLES),
        compression=_integer(page, _COMPRESSION, UNCOMPRESSED),
        predictor=_integer(page, _PREDICTOR, 1),
        planes=samples if is_planar else 1,
        part_width=_integer(page, _TILE_WIDTH, width) if is_tiled else width,
        part_height=(
            _integer(page, _TILE_HEIGHT, height) if is_tiled else min(_integer(page, _ROWS_PER_STRIP, height), height)
        ),
        offsets=_integers(page, _TILE_OFFSETS if is_tiled else _STRIP_OFFSETS),
        byte_counts=_integers(page, _TILE_BYTES if is_tiled else _STRIP_BYTES),
        byte_order=page.byte_order,
        color_map=_integers(page, _COLOR_MAP) if photometric == PALETTE else [],
    )


def _is_known(layout: TiffLayout) -> bool:
    return (
        layout.samples >= COLORS.get(layout.photometric, layout.samples + 1)
        and _is_known_sample(layout.sample_format, layout.bits)
        and not (layout.photometric == PALETTE and layout.sample_format == FLOAT)
        and layout.compression in (UNCOMPRESSED, DEFLATE, OLD_DEFLATE, PACK_BITS)
        and _is_known_predictor(layout.predictor, layout.bits)
        and layout.part_width > 0
        and layout.part_height > 0
    )


def _is_known_sample(sample_format: int, bits: int) -> bool:
    if sample_format == FLOAT:
        return bits in (16, 24, 32, 64)
    return sample_format in (UNSIGNED, SIGNED) and 1 <= bits <= 32


def _is_known_predictor(predictor: int, bits: int) -> bool:
    return predictor == 1 or (predictor == HORIZONTAL_DIFFERENCES and bits in (8, 16, 32))


def _integer(page: Directory, tag: int, default: int) -> int:
    value = page.integer(tag)
    return default if value is None else value


def _integers(page: Directory, tag: int) -> list[int]:
    return [value for value in page.numbers(tag, _MAX_PARTS) or [] if isinstance(value, int)]
