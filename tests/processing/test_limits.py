"""Images over a limit are rejected by their header, before anything is decoded."""

import resource
import struct
import time
import zlib
from collections.abc import Callable

import pytest

from imagesvc.processing.headers import READERS, HeaderLimits
from imagesvc.processing.limits import Limits
from imagesvc.processing.sniff import sniff
from tests.processing.run_pipeline import NO_PIXELS, attempt, facts_of, refusal_of, work_on
from tests.support import images
from tests.support.exif_blocks import jpeg_with

MAKERS: dict[str, Callable[..., bytes]] = {
    "image/jpeg": images.exif_jpeg,
    "image/png": images.png,
    "image/webp": images.webp,
    "image/gif": images.gif,
    "image/tiff": images.tiff,
    "image/bmp": images.bmp,
    "image/heic": images.heic,
    "image/avif": images.avif,
}
BOMBS = {
    "a PNG of 50 000 x 50 000": (images.bomb_png(), "too-many-pixels"),
    "a PNG with the largest sides that it can state": (images.bomb_png(2**31 - 1, 2**31 - 1), "too-many-pixels"),
    "a PNG without height": (images.bomb_png(10, 0), "broken-image"),
    "a GIF of 10 000 frames": (images.gif_of_frames(10_000), "too-many-frames"),
    "a compressed text of 200 MB": (images.text_bomb_png(), "too-large-metadata"),
    "a color profile of 200 MB": (images.profile_bomb_png(), "too-large-metadata"),
    "a BMP of 30 000 x 30 000": (
        images.bmp(size=(8, 8))[:18] + struct.pack("<ii", 30_000, -30_000) + images.bmp(size=(8, 8))[26:],
        "too-many-pixels",
    ),
}


@pytest.mark.parametrize(("data", "slug"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_quickly_and_without_memory(data: bytes, slug: str) -> None:
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    assert refusal_of(data).slug == slug
    assert time.process_time() - began < 0.5  # a tenth of it is usual; decoding one of these would take seconds
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


def test_frames_that_are_each_small_count_together() -> None:
    data = images.gif_of_frames(50, size=(100, 100))
    limits = Limits(max_total_pixels=400_000)
    assert refusal_of(data, limits=limits).slug == "too-many-pixels"
    assert work_on(data, limits=Limits(max_total_pixels=500_000)).facts.frames == 50


def test_a_text_after_the_pixels_counts_as_well() -> None:
    bomb = images.png_chunk(b"zTXt", b"k\0\0" + zlib.compress(b"x" * 50_000_000))
    png = images.png(size=(8, 8))
    assert refusal_of(png[:-12] + bomb + png[-12:]).slug == "too-large-metadata"


def test_the_profile_of_a_jpeg_counts_over_all_its_parts() -> None:
    data = images.jpeg(size=(8, 8), icc_profile=b"\0" * 300_000)
    assert refusal_of(data, limits=Limits(max_profile_bytes=200_000)).slug == "too-large-metadata"


def test_an_xmp_packet_counts_as_text() -> None:
    data = jpeg_with(images.jpeg(size=(8, 8)), xmp=b"x" * 60_000)
    assert refusal_of(data, limits=Limits(max_text_bytes=50_000)).slug == "too-large-metadata"


def test_directories_of_a_tiff_that_name_each_other_end() -> None:
    loop = b"II*\0\x08\0\0\0" + struct.pack("<HHHIIHHIII", 2, 0x100, 3, 1, 7, 0x101, 3, 1, 5, 8)
    assert READERS["image/tiff"](loop, HeaderLimits(frames=10, text_bytes=10, profile_bytes=10)).frames == 1


def test_pages_of_a_tiff_that_overlap_without_end_are_refused() -> None:
    entry = struct.pack("<HHII", 0x100, 3, 1, 7)
    table = struct.pack("<H", 60_000) + entry * 60_000
    pages = [b"II*\0\x08\0\0\0"]
    at = 8
    for _ in range(5):
        at += len(table) + 4
        pages.append(table + struct.pack("<I", at))
    assert refusal_of(b"".join(pages)).slug == "too-large-metadata"


def test_item_extents_without_bytes_are_refused_quickly() -> None:
    """65 535 extents cost an item 6 bytes of the file when offsets and lengths have no bytes."""

    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(content), kind) + content

    items = struct.pack(">HHH", 1, 0, 65_535) * 2_000
    locations = box(b"iloc", bytes(6) + struct.pack(">H", 2_000) + items)
    meta = box(b"meta", bytes(4) + box(b"pitm", bytes(5) + b"\1") + locations + box(b"iprp", b""))
    began = time.process_time()
    assert refusal_of(box(b"ftyp", b"avif" + bytes(4) + b"avifmif1") + meta).slug == "broken-image"
    assert time.process_time() - began < 2  # all extents would take over a minute


@pytest.mark.parametrize("media_type", MAKERS)
def test_a_header_reader_raises_only_refusals(media_type: str) -> None:
    """Cut off at every length, and with every byte of the beginning changed: never another exception."""
    data = MAKERS[media_type](size=(16, 16))
    changed = (data[:n] + bytes([data[n] ^ 0xFF]) + data[n + 1 :] for n in range(min(len(data), 600)))
    cut = (data[:n] for n in range(min(len(data), 600)))
    variants = [variant for variant in (*changed, *cut) if sniff(variant) is not None]
    outcomes = [attempt(variant, NO_PIXELS, Limits(max_pixels=10_000)) for variant in variants]
    assert len(outcomes) > 300


def test_sizes_are_the_stored_ones_for_every_format() -> None:
    sizes = {
        maker.__name__: (f.stored_width, f.stored_height)
        for maker in MAKERS.values()
        for f in [facts_of(maker(size=(70, 66)))]
    }
    assert set(sizes.values()) == {(70, 66)}


def test_frames_are_counted_for_every_format_that_can_have_several() -> None:
    first, second = images.picture(size=(20, 20)), images.picture(seed=1, size=(20, 20))
    more = {"save_all": True, "append_images": [second, first]}
    assert facts_of(images.gif(size=(20, 20), frames=3)).frames == 3
    assert facts_of(images.tiff(size=(20, 20), pages=3)).frames == 3
    assert facts_of(images.encode(first, "PNG", **more)).frames == 3
    assert facts_of(images.encode(first, "WEBP", **more)).frames == 3
    assert facts_of(images.encode(first, "AVIF", **more)).frames == 3
