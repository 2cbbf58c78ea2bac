"""Pixel layouts that Pillow declines: BMP with unusual bit fields, TIFF of every depth, arrangement and byte order."""

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from imagesvc.processing.contract import Work
from tests.processing.run_pipeline import facts_of, refusal_of, work_on
from tests.support import images

FULL = Work(score=False, renditions=(("full", "webp"),))
SIZE = (70, 50)
EXPECTED = np.asarray(images.picture(size=SIZE))


def packed(values: NDArray[Any], bits: int, order: str) -> bytes:
    """Rows of samples of that width. Each row begins at a whole byte."""
    if bits in (8, 16, 32):
        return values.astype(f"{order}u{bits // 8}").tobytes()
    if bits == 24:
        four = values.astype(f"{order}u4")[..., np.newaxis].view(np.uint8).reshape(*values.shape, 4)
        return (four[..., :3] if order == "<" else four[..., 1:]).tobytes()
    singles = (values[..., np.newaxis] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(singles.reshape(values.shape[0], -1).astype(np.uint8), axis=1).tobytes()


def tiff_file(
    parts: list[bytes],
    *,
    order: str,
    bits: int,
    samples: int,
    photometric: int,
    big: bool = False,
    **tags: int | list[int],
) -> bytes:
    """A TIFF with one page. ``tags`` are given by number, as t259=8."""
    start = 16 if big else 8
    offsets, at = [], start
    for part in parts:
        offsets.append(at)
        at += len(part)
    found: dict[int, list[int]] = {
        0x100: [SIZE[0]],
        0x101: [SIZE[1]],
        0x102: [bits] * samples,
        0x103: [1],
        0x106: [photometric],
        0x111: offsets,
        0x115: [samples],
        0x116: [SIZE[1]],
        0x117: [len(part) for part in parts],
    }
    found |= {int(name[1:]): value if isinstance(value, list) else [value] for name, value in tags.items()}
    head, unit, link, inline = ("Q", "HHQ", "Q", 8) if big else ("H", "HHI", "I", 4)
    table_bytes = struct.calcsize("=" + head) + len(found) * (struct.calcsize("=" + unit) + inline) + inline
    table, outside = struct.pack(order + head, len(found)), b""
    for number, values in sorted(found.items()):
        kind, letter = (3, "H") if max(values) < 65_536 else (4, "I")
        data = struct.pack(order + letter * len(values), *values)
        if len(data) > inline:
            outside += data
            data = struct.pack(order + link, at + table_bytes + len(outside) - len(data))
        table += struct.pack(order + unit, number, kind, len(values)) + data.ljust(inline, b"\0")
    mark = b"II" if order == "<" else b"MM"
    header = mark + (struct.pack(order + "HHHQ", 43, 8, 0, at) if big else struct.pack(order + "HI", 42, at))
    return header + b"".join(parts) + table + bytes(inline) + outside


def decoded(data: bytes) -> NDArray[Any]:
    return np.asarray(work_on(data, FULL).picture().convert("RGB"), np.int16)


def resembles(found: NDArray[Any], expected: NDArray[Any], tolerance: float) -> bool:
    """Compares the mean difference, not single pixels, because WebP changes the rendition."""
    return found.shape == expected.shape and float(np.abs(found - expected.astype(np.int16)).mean()) < tolerance


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [4, 6, 8, 10, 12, 14, 16, 24, 32])
@pytest.mark.parametrize("planar", [False, True])
def test_tiff_colors_of_any_depth_and_arrangement_are_decoded(bits: int, order: str, planar: bool, big: bool) -> None:
    values = (EXPECTED.astype(np.uint64) * (2**bits - 1) // 255).astype(np.uint32)
    rows = [values[..., n] for n in range(3)] if planar else [values.reshape(SIZE[1], -1)]
    data = tiff_file(
        [packed(plane, bits, order) for plane in rows],
        order=order,
        bits=bits,
        samples=3,
        photometric=2,
        big=big,
        t284=2 if planar else 1,
    )
    assert resembles(decoded(data), EXPECTED, 14 if bits == 4 else 8)


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [2, 6, 10, 24])
def test_tiff_gray_of_any_depth_and_polarity_is_decoded(bits: int, photometric: int) -> None:
    gray = (EXPECTED[..., 0].astype(np.uint64) * (2**bits - 1) // 255).astype(np.uint32)
    values = gray if photometric else 2**bits - 1 - gray
    data = tiff_file([packed(values, bits, ">")], order=">", bits=bits, samples=1, photometric=photometric)
    assert resembles(decoded(data)[..., 0], EXPECTED[..., 0], 50 if bits == 2 else 8)


@pytest.mark.parametrize("compression", ["deflate", "packbits", "deflate with differences"])
def test_compressed_tiff_strips_are_decoded(compression: str) -> None:
    values = (EXPECTED.astype(np.uint32) << 24).reshape(SIZE[1], -1)
    if compression == "deflate with differences":
        by_pixel = values.reshape(SIZE[1], SIZE[0], 3)
        values = np.diff(by_pixel, axis=1, prepend=np.zeros((SIZE[1], 1, 3), np.uint32)).reshape(SIZE[1], -1)
    plain = [packed(values[:30], 32, "<"), packed(values[30:], 32, "<")]
    runs = [b"".join(b"\x7f" + p[n : n + 128] for n in range(0, len(p) - len(p) % 128, 128)) for p in plain]
    tails = [bytes([len(p) % 128 - 1]) + p[len(p) - len(p) % 128 :] if len(p) % 128 else b"" for p in plain]
    parts = (
        [r + t for r, t in zip(runs, tails, strict=True)] if compression == "packbits" else [*map(zlib.compress, plain)]
    )
    data = tiff_file(
        parts,
        order="<",
        bits=32,
        samples=3,
        photometric=2,
        t278=30,
        t259=32_773 if compression == "packbits" else 8,
        t317=2 if "differences" in compression else 1,
    )
    assert resembles(decoded(data), EXPECTED, 8)


def test_repeated_bytes_of_pack_bits_are_decoded() -> None:
    """A row of 210 equal bytes as two runs and a byte without a meaning, in a file that Pillow declines."""
    row = bytes([257 - 100, 7, 257 - 110, 7, 128, 0])
    data = tiff_file([row * SIZE[1]], order=">", bits=8, samples=3, photometric=2, big=True, t259=32_773)
    assert resembles(decoded(data), np.full_like(EXPECTED, 7), 2)


def test_tiff_tiles_are_assembled() -> None:
    padded = np.pad(EXPECTED, ((0, 14), (0, 26), (0, 0)), mode="edge").astype(np.uint32) << 24
    tiles = [padded[y : y + 32, x : x + 32].reshape(32, -1) for y in range(0, 64, 32) for x in range(0, 96, 32)]
    parts = [packed(tile, 32, ">") for tile in tiles]
    plain = tiff_file(parts, order=">", bits=32, samples=3, photometric=2)
    offsets = [8 + n * len(parts[0]) for n in range(6)]
    data = tiff_file(
        parts, order=">", bits=32, samples=3, photometric=2, t322=32, t323=32, t324=offsets, t325=[len(parts[0])] * 6
    )
    assert data != plain
    assert resembles(decoded(data), EXPECTED, 8)


def test_tiff_floats_are_scaled_from_0_to_1() -> None:
    values = (EXPECTED / 255).astype(">f4")
    data = tiff_file([values.tobytes()], order=">", bits=32, samples=3, photometric=2, t339=[3, 3, 3])
    assert resembles(decoded(data), EXPECTED, 8)


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_signed_samples_are_scaled_from_the_lowest_value(order: str) -> None:
    values = (EXPECTED.astype(np.uint32) << 8 ^ 0x8000).reshape(SIZE[1], -1)
    data = tiff_file([packed(values, 16, order)], order=order, bits=16, samples=3, photometric=2, t339=[2, 2, 2])
    assert resembles(decoded(data), EXPECTED, 8)


@pytest.mark.parametrize("bits", [8, 16])
def test_an_unspecified_tiff_sample_in_a_separate_plane_is_ignored(bits: int) -> None:
    values = EXPECTED.astype(np.uint32) << (bits - 8)
    planes = [packed(plane, bits, "<") for plane in (*np.moveaxis(values, 2, 0), values[..., 0])]
    data = tiff_file(planes, order="<", bits=bits, samples=4, photometric=2, t284=2, t338=0)
    assert resembles(decoded(data), EXPECTED, 8)


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_floats_of_24_bits_are_decoded(order: str) -> None:
    """1 bit of sign, 7 of exponent with a bias of 63, 16 of mantissa (TIFF Technical Note 3)."""
    mantissa, exponent = np.frexp(EXPECTED / 255)
    stored = (exponent - 1 + 63).astype(np.uint32) << 16 | ((2 * mantissa - 1) * 65_536).astype(np.uint32)
    values = np.where(EXPECTED > 0, stored, 0).astype(np.uint32).reshape(SIZE[1], -1)
    data = tiff_file([packed(values, 24, order)], order=order, bits=24, samples=3, photometric=2, t339=[3, 3, 3])
    assert resembles(decoded(data), EXPECTED, 8)


def test_tiff_palettes_of_2_and_16_bits_are_decoded() -> None:
    gray = EXPECTED[..., 0].astype(np.uint32)
    for bits in (2, 16):
        values = gray >> (8 - bits) if bits < 8 else gray << 8
        ramp = [round(n * 65_535 / (2**bits - 1)) for n in range(2**bits)]
        data = tiff_file([packed(values, bits, "<")], order="<", bits=bits, samples=1, photometric=3, t320=ramp * 3)
        assert resembles(decoded(data)[..., 0], EXPECTED[..., 0], 45 if bits == 2 else 8)


def test_a_tiff_palette_with_values_over_16_bits_is_broken() -> None:
    indexes = packed(EXPECTED[..., 0].astype(np.uint32) << 8, 16, "<")
    data = tiff_file([indexes], order="<", bits=16, samples=1, photometric=3, t320=[65_536] * (3 << 16))
    assert refusal_of(data, FULL).slug == "broken-image"


def test_a_tiff_palette_with_float_indexes_is_unsupported() -> None:
    indexes = (EXPECTED[..., 0] / 255).astype("<f2").tobytes()
    data = tiff_file([indexes], order="<", bits=16, samples=1, photometric=3, t339=3, t320=[0] * (3 << 16))
    assert refusal_of(data, FULL).slug == "unsupported-content"


def test_a_tiff_alpha_sample_is_kept() -> None:
    alpha = np.full((*EXPECTED.shape[:2], 1), 255, np.uint32)
    alpha[:, : SIZE[0] // 2] = 0
    values = (np.concatenate([EXPECTED.astype(np.uint32), alpha], axis=2) << 24).reshape(SIZE[1], -1)
    data = tiff_file([packed(values, 32, "<")], order="<", bits=32, samples=4, photometric=2, t338=2)
    picture = work_on(data, FULL).picture()
    assert picture.mode == "RGBA"
    assert (np.asarray(picture)[..., 3] > 128).mean(axis=0).tolist() == [0] * 35 + [1] * 35


def test_a_tiff_with_a_truncated_strip_is_broken() -> None:
    data = tiff_file([bytes(100)], order="<", bits=32, samples=3, photometric=2)
    assert refusal_of(data, FULL).slug == "broken-image"


# --- BMP


def bmp_file(
    pixels: bytes, *, bits: int, compression: int = 0, masks: tuple[int, ...] = (), palette: bytes = b""
) -> bytes:
    extra = struct.pack(f"<{len(masks)}I", *masks) + palette
    info = struct.pack("<IiiHHIIiiII", 40, *SIZE, 1, bits, compression, len(pixels), 0, 0, 0, 0)
    at = 14 + len(info) + len(extra)
    return b"BM" + struct.pack("<IHHI", at + len(pixels), 0, 0, at) + info + extra + pixels


def in_fields(masks: tuple[int, ...], dtype: str, alpha: int = 255) -> bytes:
    values = np.zeros(EXPECTED.shape[:2], np.uint32)
    for channel, mask in enumerate(masks):
        shift = (mask & -mask).bit_length() - 1
        level = EXPECTED[..., channel].astype(np.uint64) if channel < 3 else np.full(values.shape, alpha, np.uint64)
        values |= ((level * (mask >> shift) // 255) << shift).astype(np.uint32)
    return np.ascontiguousarray(values[::-1]).astype(dtype).tobytes()


@pytest.mark.parametrize(
    ("bits", "masks"),
    [
        (16, (0xF00, 0xF0, 0xF)),
        (16, (0xE000, 0x1F80, 0x7F)),
        (32, (0x3FF00000, 0xFFC00, 0x3FF)),
        (32, (0xFF, 0xFF0000, 0xFF00)),
    ],
)
def test_bmp_bit_fields_of_any_width_and_order_are_decoded(bits: int, masks: tuple[int, ...]) -> None:
    data = bmp_file(in_fields(masks, f"<u{bits // 8}"), bits=bits, compression=3, masks=masks)
    assert resembles(decoded(data), EXPECTED, 18 if bits == 16 else 8)


def test_a_bmp_bit_field_for_alpha_is_kept() -> None:
    masks = (0xF000, 0xF00, 0xF0, 0xF)
    data = bmp_file(in_fields(masks, "<u2", alpha=0), bits=16, compression=6, masks=masks)
    picture = work_on(data, FULL).picture()
    assert picture.mode == "RGBA"
    assert picture.getchannel("A").getextrema() == (0, 0)


def test_a_bmp_color_without_a_bit_field_is_0() -> None:
    data = bmp_file(in_fields((0xFF, 0xFF0000, 0xFF00), "<u4"), bits=32, compression=3, masks=(0xFF, 0, 0xFF00))
    assert resembles(decoded(data), EXPECTED * np.array([1, 0, 1], np.uint8), 8)


def test_a_bmp_palette_of_four_colors_is_decoded() -> None:
    gray = EXPECTED[::-1, :, 0] >> 6
    rows = np.pad(gray, ((0, 0), (0, 80 - SIZE[0])))
    palette = b"".join(bytes([n, n, n, 0]) for n in (0, 85, 170, 255))
    data = bmp_file(packed(rows, 2, "<"), bits=2, palette=palette)
    assert resembles(decoded(data)[..., 0], EXPECTED[..., 0], 45)


def test_a_bmp_with_the_short_os2_header_is_decoded() -> None:
    rows = np.pad(EXPECTED[::-1, :, ::-1].reshape(SIZE[1], -1), ((0, 0), (0, 2))).tobytes()
    header = struct.pack("<IiiHH", 16, *SIZE, 1, 24)
    data = b"BM" + struct.pack("<IHHI", 30 + len(rows), 0, 0, 30) + header + rows
    assert resembles(decoded(data), EXPECTED, 8)


# --- camera raw


SENSOR, LINEAR = 32_803, 34_892


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [SENSOR, LINEAR])
def test_camera_raw_files_in_tiff_format_are_rejected(order: str, photometric: int) -> None:
    """NEF, ARW and similar files begin with a small preview and keep the sensor's data in a sub-directory."""
    page = bytes(SIZE[0] * SIZE[1] * 3)
    page_options: dict[str, Any] = {"order": order, "bits": 8, "samples": 3, "photometric": 2}
    preview_end = tiff_file([page], **page_options, t330=0)
    sub_directory = struct.pack(f"{order}HHHIHHI", 1, 0x106, 3, 1, photometric, 0, 0)
    whole = tiff_file([page], **page_options, t330=len(preview_end)) + sub_directory
    plain = tiff_file([page], **page_options, t330=len(preview_end)) + sub_directory.replace(
        struct.pack(f"{order}H", photometric), struct.pack(f"{order}H", 2)
    )

    refused = [refusal_of(whole), refusal_of(tiff_file([page], **{**page_options, "photometric": photometric}))]

    assert [(reply.slug, reply.detail) for reply in refused] == [
        ("unsupported-content", "camera raw files are not accepted")
    ] * 2
    assert facts_of(plain).width == SIZE[0]
