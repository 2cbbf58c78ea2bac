"""Broken files are rejected; unusual ones, as cameras write them, are not."""

from typing import Any

import pytest
from PIL import Image

from imagesvc.processing.contract import Work
from tests.processing.pictures import FULL, corners, is_upright
from tests.processing.run_pipeline import refusal_of, work_on
from tests.support import images


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_jpeg_is_broken(keep: float, progressive: bool) -> None:
    whole = images.jpeg(progressive=progressive)
    assert refusal_of(whole[: int(len(whole) * keep)], Work(score=False)).slug == "broken-image"


@pytest.mark.parametrize(
    "maker", [images.png, images.webp, images.gif, images.tiff, images.bmp, images.heic, images.avif]
)
def test_half_a_file_of_any_format_is_broken(maker: Any) -> None:
    data = maker(size=(200, 160))
    assert refusal_of(data[: len(data) // 2], Work(score=False)).slug == "broken-image"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_only_lacks_its_last_marker_is_whole(progressive: bool) -> None:
    whole = images.jpeg(progressive=progressive)
    assert work_on(whole[:-2], FULL).files == work_on(whole, FULL).files


@pytest.mark.parametrize("tail", [b"\0" * 1000, b"garbage " * 100, images.jpeg(size=(32, 32)), b"\xff\xd8\xff\xe1\0\0"])
def test_bytes_after_the_image_are_ignored(tail: bytes) -> None:
    whole = images.jpeg()
    assert work_on(whole + tail, FULL).files == work_on(whole, FULL).files


def test_junk_between_the_segments_of_a_jpeg_does_no_harm() -> None:
    whole = images.jpeg()
    assert work_on(whole[:20] + b"\0\0\0" + whole[20:], FULL).files == work_on(whole, FULL).files


def test_a_damaged_index_of_a_multi_picture_file_is_ignored() -> None:
    whole = images.encode(corners(None), "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    damaged = whole.replace(b"\x01\xb0\x04\x00\x01\x00\x00\x00\x02", b"\x01\xb0\x04\x00\x01\x00\x00\x00\xff")
    assert damaged != whole
    assert is_upright(work_on(damaged, FULL).picture())


def test_content_that_no_decoder_knows_is_unsupported_but_its_facts_are_known() -> None:
    twelve_bit = images.jpeg(size=(64, 48)).replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc1\x00\x11\x0c")
    reply = refusal_of(twelve_bit)
    assert reply.slug == "unsupported-content"
    assert reply.facts is not None
    assert (reply.facts.media_type, reply.facts.stored_width) == ("image/jpeg", 64)
