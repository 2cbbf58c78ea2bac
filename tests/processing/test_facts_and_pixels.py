"""The facts of an image (size, orientation, frames, mode) are those of the pixels that its renditions show."""

import io
import struct
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from tests.processing.pictures import FULL, STORED_AS, corners, is_upright
from tests.processing.run_pipeline import Done, refusal_of, work_on
from tests.processing.test_rasters import EXPECTED, SIZE, decoded, packed, resembles, tiff_file
from tests.support import images
from tests.support.exif_blocks import Tag, block, jpeg_with

INTEGER_TYPES = {
    "BYTE": (1, "B"),
    "SHORT": (3, "H"),
    "LONG": (4, "I"),
    "SBYTE": (6, "b"),
    "UNDEFINED": (7, "B"),
    "SSHORT": (8, "h"),
    "SLONG": (9, "i"),
}


def shown_size(done: Done) -> tuple[int, int]:
    return done.picture().size


def stated_size(done: Done) -> tuple[int, int]:
    return done.facts.width, done.facts.height


# --- orientation


def tiff_with_orientation(pixels: Image.Image, kind: int, letter: str, orientation: int) -> bytes:
    """An uncompressed big-endian TIFF whose orientation has this field type."""
    raw = pixels.tobytes()
    entries = [
        (0x100, 4, 1, struct.pack(">I", pixels.width)),
        (0x101, 4, 1, struct.pack(">I", pixels.height)),
        (0x102, 3, 3, struct.pack(">I", 8 + len(raw))),
        (0x103, 3, 1, struct.pack(">HH", 1, 0)),
        (0x106, 3, 1, struct.pack(">HH", 2, 0)),
        (0x111, 4, 1, struct.pack(">I", 8)),
        (0x112, kind, 1, struct.pack(">" + letter, orientation).ljust(4, b"\0")),
        (0x115, 3, 1, struct.pack(">HH", 3, 0)),
        (0x116, 4, 1, struct.pack(">I", pixels.height)),
        (0x117, 4, 1, struct.pack(">I", len(raw))),
    ]
    depths = struct.pack(">HHHH", 8, 8, 8, 0)
    table = struct.pack(">H", len(entries)) + b"".join(struct.pack(">HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"MM\0\x2a" + struct.pack(">I", 8 + len(raw) + len(depths)) + raw + depths + table + bytes(4)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", INTEGER_TYPES)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_orientation_of_any_integer_type_turns_facts_and_pixels(format: str, kind: str, orientation: int) -> None:
    number, letter = INTEGER_TYPES[kind]
    stored = corners(STORED_AS[orientation])
    if format == "TIFF":
        data = tiff_with_orientation(stored, number, letter, orientation)
    else:
        exif = block(Tag(0x112, number, struct.pack(">" + letter, orientation), 1))
        is_jpeg = format == "JPEG"
        data = (
            jpeg_with(images.encode(stored, format), exif=exif) if is_jpeg else images.encode(stored, format, exif=exif)
        )

    done = work_on(data, FULL)

    assert is_upright(done.picture())
    assert stated_size(done) == shown_size(done) == (320, 240)
    assert (done.facts.stored_width, done.facts.stored_height) == stored.size
    assert done.facts.orientation == orientation
    assert done.facts.notes == ()


@pytest.mark.parametrize("kind", INTEGER_TYPES)
@pytest.mark.parametrize("format", ["HEIF", "AVIF"])
def test_the_orientation_of_the_container_overrides_exif(format: str, kind: str) -> None:
    number, letter = INTEGER_TYPES[kind]
    exif = b"Exif\0\0" + block(Tag(0x10E, number, struct.pack(">" + letter, 6), 1))
    data = images.encode(corners(None), format, exif=exif)
    # encoders move an orientation to the container, so the tag gets its number afterwards
    tag = struct.pack(">HH", 0x10E, number)
    assert data.count(tag) == 1

    done = work_on(data.replace(tag, struct.pack(">HH", 0x112, number)), FULL)

    assert is_upright(done.picture())
    assert stated_size(done) == shown_size(done) == (320, 240)
    assert (done.facts.orientation, done.facts.notes) == (1, ("exif-orientation-not-applied",))


# --- size


def gif(screen: tuple[int, int], frame: tuple[int, int, int, int]) -> bytes:
    """A GIF with this screen and one frame at left, top, width, height."""
    left, top, width, height = frame
    pixels = images.encode(Image.new("P", (width, height), 1), "GIF")
    start = pixels.index(b"\x2c")
    header = b"GIF89a" + struct.pack("<HH", *screen) + pixels[10:13]
    return header + pixels[13:start] + b"\x2c" + struct.pack("<HHHH", left, top, width, height) + pixels[start + 9 :]


@pytest.mark.parametrize(
    ("screen", "frame", "shown"),
    [
        ((100, 80), (0, 0, 100, 80), (100, 80)),
        ((100, 80), (10, 10, 40, 30), (100, 80)),
        ((100, 80), (0, 0, 150, 80), (150, 80)),
        ((100, 80), (0, 0, 100, 120), (100, 120)),
        ((100, 80), (90, 70, 40, 30), (130, 100)),
        ((100, 80), (200, 300, 40, 30), (240, 330)),
        ((0, 0), (0, 0, 40, 30), (40, 30)),
    ],
    ids=["fits", "inside", "wider", "higher", "beyond a corner", "outside", "no screen"],
)
def test_a_gif_has_the_size_of_its_screen_enlarged_to_its_first_frame(
    screen: tuple[int, int], frame: tuple[int, int, int, int], shown: tuple[int, int]
) -> None:
    done = work_on(gif(screen, frame), FULL)

    assert stated_size(done) == shown_size(done) == shown
    has_note = "size-differs-from-header" in done.facts.notes
    assert has_note == (shown != screen and screen != (0, 0))


def test_facts_without_pixels_have_the_same_size_as_with_them(cases: Path) -> None:
    data = (cases / "gif_first_frame_beyond_the_screen.gif").read_bytes()

    assert stated_size(work_on(data)) == stated_size(work_on(data, FULL)) == shown_size(work_on(data, FULL))


def heic(*pictures: Image.Image, primary: int) -> bytes:
    file, out = pillow_heif.HeifFile(), io.BytesIO()  # type: ignore[no-untyped-call]
    for picture in pictures:
        file.add_from_pillow(picture)
    file.save(out, primary_index=primary, quality=60)
    return out.getvalue()


@pytest.mark.parametrize("primary", [0, 1])
def test_a_heic_of_several_images_is_its_primary_item(primary: int) -> None:
    small, large = images.picture(size=(128, 72)), images.picture(size=(1280, 720))

    done = work_on(heic(small, large, primary=primary), FULL)

    assert stated_size(done) == shown_size(done) == (small.size, large.size)[primary]


def test_a_heic_with_a_thumbnail_as_primary_item_has_facts_of_the_shown_item() -> None:
    """The decoder does not show thumbnails, so it shows another item instead of the primary one."""
    data = images.encode(images.picture(size=(1280, 720)), "HEIF", quality=60, thumbnails=[128])
    at = data.index(b"pitm") + 8
    primary = int.from_bytes(data[at : at + 2], "big")
    reference = data.index(b"thmb") + 4
    thumbnail = int.from_bytes(data[reference : reference + 2], "big")
    assert primary != thumbnail
    changed = data[:at] + thumbnail.to_bytes(2, "big") + data[at + 2 :]

    done = work_on(changed, FULL)

    assert stated_size(done) == shown_size(done)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (33, 17), (640, 480)])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "HEIF", "AVIF"])
def test_the_stated_size_is_the_shown_size_in_every_format(format: str, size: tuple[int, int]) -> None:
    done = work_on(images.encode(images.picture(size=size), format), FULL)

    assert stated_size(done) == shown_size(done) == size
    assert done.facts.notes == ()


# --- frames


def test_an_animation_header_after_the_pixels_of_a_png_does_not_count() -> None:
    plain = images.png(size=(32, 32))
    end = plain.rindex(b"IEND") - 4
    data = plain[:end] + images.png_chunk(b"acTL", struct.pack(">II", 7, 0)) + plain[end:]

    assert work_on(data, FULL).facts.frames == 1


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "AVIF", "TIFF"])
def test_the_number_of_frames_is_that_of_the_decoder(format: str) -> None:
    more = [images.picture(seed=seed, size=(32, 32)) for seed in (1, 2)]
    data = images.encode(images.picture(size=(32, 32)), format, save_all=True, append_images=more)
    opened = Image.open(io.BytesIO(data))

    assert work_on(data, FULL).facts.frames == getattr(opened, "n_frames", 1) == 3


# --- pixel layouts that Pillow opens but misreads


def gray_tiff(bits: int, *, photometric: int, sample_format: int, compression: int = 1) -> bytes:
    """A little-endian gray TIFF of EXPECTED, in its whole range."""
    values = (EXPECTED[..., 0].astype(np.uint64) * (2**bits - 1) // 255).astype(np.uint32)
    if photometric == 0:
        values = 2**bits - 1 - values
    if sample_format == 2:
        values = values ^ np.uint32(1 << (bits - 1))
    return tiff_file(
        [packed(values, bits, "<")],
        order="<",
        bits=bits,
        samples=1,
        photometric=photometric,
        t259=compression,
        t339=sample_format,
    )


@pytest.mark.parametrize(
    ("bits", "photometric", "sample_format"),
    [(8, 1, 2), (12, 1, 1), (12, 0, 1), (16, 0, 1), (32, 1, 1), (32, 0, 1)],
)
def test_gray_tiffs_that_pillow_misreads_are_decoded(bits: int, photometric: int, sample_format: int) -> None:
    data = gray_tiff(bits, photometric=photometric, sample_format=sample_format)

    gray = EXPECTED[..., 0].astype(np.int64)
    # samples of 32 bits are stretched to the whole range
    expected = (gray - gray.min()) * 255 // (gray.max() - gray.min()) if bits == 32 else gray
    assert resembles(decoded(data)[..., 0], expected, 8)
    assert work_on(data).facts.color_mode == "L"


def test_a_misread_layout_in_an_unknown_compression_is_unsupported() -> None:
    refusal = refusal_of(gray_tiff(12, photometric=1, sample_format=1, compression=5))

    assert refusal.slug == "unsupported-content"
    assert refusal.facts is not None
    assert (refusal.facts.width, refusal.facts.height) == SIZE
