"""Near-duplicates have near hashes, different images distant ones, and blank images none."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest

from imagesvc.processing.hash_bands import DEFAULT_MAX_DISTANCE
from imagesvc.processing.perceptual_hash import distance, perceptual_hash
from tests.processing.scenes import Pixels, exposed, jpeg, noisy, resized, scene

SEEDS = range(1, 13)


def cropped(pixels: Pixels) -> Pixels:
    """2 % off each side."""
    height, width = pixels.shape[:2]
    return pixels[height // 50 : height - height // 50, width // 50 : width - width // 50]


def hashed(pixels: Pixels) -> int:
    value = perceptual_hash(pixels)
    assert value is not None
    return value


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda pixels: jpeg(pixels, 30), id="jpeg at quality 30"),
        pytest.param(lambda pixels: resized(pixels, 320, 240), id="half size"),
        pytest.param(lambda pixels: resized(pixels, 450, 600), id="other proportions"),
        pytest.param(lambda pixels: exposed(pixels, 1.3), id="brighter"),
        pytest.param(lambda pixels: noisy(pixels, 10), id="noise"),
        pytest.param(cropped, id="cropped"),
    ],
)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_changed_copy_is_a_near_duplicate(change: Callable[[Pixels], Pixels], seed: int) -> None:
    original = scene(seed)

    assert distance(hashed(original), hashed(change(original))) <= DEFAULT_MAX_DISTANCE


def test_a_crop_flips_few_bits_because_the_borders_count_for_little() -> None:
    flips = [distance(hashed(scene(seed)), hashed(cropped(scene(seed)))) for seed in range(1, 25)]

    assert np.mean(flips) < 3


def test_different_pictures_are_no_near_duplicates() -> None:
    hashes = [hashed(scene(seed, width=320, height=240)) for seed in range(40)]

    assert min(distance(one, other) for one, other in combinations(hashes, 2)) > DEFAULT_MAX_DISTANCE


def test_the_bits_of_many_pictures_are_balanced() -> None:
    hashes = np.array([hashed(scene(seed, width=320, height=240)) for seed in range(60)], dtype=np.uint64)
    bits = np.unpackbits(hashes.view(np.uint8).reshape(-1, 8), axis=1)

    ones = bits.mean(axis=0)

    assert ones.min() > 0.2
    assert ones.max() < 0.8


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_image_has_no_hash(level: int) -> None:
    assert perceptual_hash(np.full((480, 640, 3), level, np.uint8)) is None


def test_a_blank_page_with_a_stamp_or_grain_on_it_has_no_hash() -> None:
    stamped = np.full((480, 640, 3), 250, np.uint8)
    stamped[100:112, 500:512] = 30

    assert perceptual_hash(stamped) is None
    assert perceptual_hash(noisy(np.full((480, 640, 3), 128, np.uint8), 20)) is None


@pytest.mark.parametrize(("width", "height"), [(1, 1), (8, 12), (640, 2)])
def test_an_image_with_fewer_pixels_than_frequencies_has_no_hash(width: int, height: int) -> None:
    assert perceptual_hash(scene(1)[:height, :width]) is None


def test_a_symmetric_drawing_keeps_its_hash_in_a_lossy_copy() -> None:
    y, x = np.mgrid[-120:120, -160:160]
    ring = np.where(np.abs(np.hypot(x, y) - 70) < 25, 40, 235).astype(np.uint8)[:, :, np.newaxis].repeat(3, axis=2)

    assert distance(hashed(ring), hashed(jpeg(noisy(ring, 6), 25))) <= 3


def test_a_hash_fits_in_64_bits() -> None:
    assert all(0 <= hashed(scene(seed, width=320, height=240)) < 2**64 for seed in SEEDS)


def test_the_distance_counts_the_bits_that_differ() -> None:
    assert distance(0, 0) == 0
    assert distance(0b1011, 0b0110) == 3
    assert distance(0, 2**64 - 1) == 64
