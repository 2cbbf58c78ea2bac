"""Resizes on request: fit, format and quality."""

from typing import Any

import pytest
from PIL import Image

from imagesvc.processing.contract import Resize
from imagesvc.processing.limits import Limits
from tests.processing.pictures import BLUE, RED, STORED_AS, color, corners, near
from tests.processing.run_pipeline import refusal_of, work_on
from tests.support import images


@pytest.mark.parametrize(
    ("request_", "size"),
    [
        (Resize(), (100, 75)),
        (Resize(width=50, height=200), (50, 38)),
        (Resize(fit="cover"), (100, 100)),
        (Resize(width=300, height=100, fit="cover"), (300, 100)),
        (Resize(width=300, height=100, fit="fill"), (300, 100)),
        (Resize(width=5000, height=5000), (320, 240)),
        (Resize(width=500, height=500, fit="cover"), (500, 500)),
    ],
)
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_resize_has_the_size_that_its_fit_gives(request_: Resize, size: tuple[int, int], orientation: int) -> None:
    exif = images.exif(orientation=orientation)
    data = images.encode(corners(STORED_AS[orientation]), "JPEG", exif=exif)
    picture = work_on(data, request_).picture()
    assert picture.size == size
    assert picture.format == "JPEG"


def test_cover_crops_and_fill_stretches() -> None:
    wide = Image.new("RGB", (400, 100), BLUE)
    wide.paste(RED, (150, 0, 250, 100))
    data = images.encode(wide, "PNG")
    assert near(color(work_on(data, Resize(fit="cover", format="png")).picture(), 0.05), RED, 12)
    assert near(color(work_on(data, Resize(fit="fill", format="png")).picture(), 0.05), BLUE, 12)


@pytest.mark.parametrize(("format", "expected"), [("webp", "WEBP"), ("jpg", "JPEG"), ("avif", "AVIF"), ("png", "PNG")])
def test_a_resize_has_the_requested_format(format: Any, expected: str) -> None:
    assert work_on(images.jpeg(), Resize(format=format)).picture().format == expected


def test_the_quality_of_a_resize_is_heeded() -> None:
    sizes = [len(work_on(images.jpeg(), Resize(width=300, height=300, quality=q)).files[0]) for q in (10, 50, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 3


def test_a_resize_of_too_large_an_image_is_rejected() -> None:
    assert refusal_of(images.bomb_png(), Resize()).slug == "too-many-pixels"
    assert refusal_of(images.png(), Resize(), Limits(max_side=100)).slug == "too-many-pixels"
