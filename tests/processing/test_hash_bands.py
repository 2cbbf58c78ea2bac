"""The bands find every near-duplicate, and look up no more values than that needs."""

import random

import pytest

from imagesvc.processing.hash_bands import BANDS, band_neighbours, bands


@pytest.mark.parametrize("max_distance", [0, 1, 3, 4, 6, 11, 12, 13, 16])
def test_every_hash_within_the_distance_is_found_by_a_band(max_distance: int) -> None:
    dice = random.Random(max_distance)
    value = dice.getrandbits(64)
    neighbours = [set(values) for values in band_neighbours(value, max_distance=max_distance)]
    near = [value ^ sum(1 << bit for bit in dice.sample(range(64), max_distance)) for _ in range(3000)]

    missed = [other for other in near if not any(map(set.__contains__, neighbours, bands(other)))]

    assert missed == []


def test_the_hardest_spread_of_differences_is_found_and_one_more_is_not() -> None:
    value = 0x0123456789ABCDEF
    neighbours = band_neighbours(value, max_distance=12)
    # 3 + 3 + 3 + 4 bits: the least that puts every band out of reach
    beyond = value ^ (0b111 << 48 | 0b111 << 32 | 0b111 << 16 | 0b1111)
    within = value ^ (0b111 << 48 | 0b111 << 32 | 0b111 << 16 | 0b111)

    assert not any(band in values for band, values in zip(bands(beyond), neighbours, strict=True))
    assert any(band in values for band, values in zip(bands(within), neighbours, strict=True))


def test_the_values_to_look_up_are_few_and_sorted() -> None:
    neighbours = band_neighbours(2**63 + 12345, max_distance=12)

    assert [len(values) for values in neighbours] == [137, 137, 137, 697]
    assert all(values == sorted(set(values)) for values in neighbours)
    assert all(0 <= value < 65_536 for values in neighbours for value in values)


def test_distance_zero_looks_up_one_band_only() -> None:
    assert [len(values) for values in band_neighbours(7, max_distance=0)] == [0, 0, 0, 1]


def test_the_bands_of_a_hash_put_together_are_the_hash() -> None:
    value = 0xFEDC_BA98_7654_3210

    assert bands(value) == (0xFEDC, 0xBA98, 0x7654, 0x3210)
    assert len(bands(0)) == BANDS
