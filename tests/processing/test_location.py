"""Location: both coordinates, or none."""

from pathlib import Path
from typing import Any

import pytest

from tests.processing.run_pipeline import facts_of
from tests.processing.tagged_jpegs import facts_with
from tests.support.exif_blocks import Tag, byte, fractions, text

Fractions = tuple[tuple[int, int], ...]


def location(
    latitude: Fractions, north: str | None, longitude: Fractions, east: str | None
) -> tuple[Any, Any, tuple[str, ...]]:
    refs = [text(number, ref) for number, ref in ((1, north), (3, east)) if ref is not None]
    facts = facts_with(gps=(*refs, fractions(2, *latitude), fractions(4, *longitude)))
    return facts.latitude, facts.longitude, facts.notes


PARIS = ((48, 1), (51, 1), (30132, 1000)), ((2, 1), (17, 1), (40128, 1000))


def test_degrees_minutes_and_seconds_give_signed_coordinates() -> None:
    assert location(PARIS[0], "N", PARIS[1], "E")[:2] == (pytest.approx(48.85837), pytest.approx(2.29448))
    assert location(PARIS[0], "S", PARIS[1], "W")[:2] == (pytest.approx(-48.85837), pytest.approx(-2.29448))
    assert location(((51, 1), (15, 10), (0, 0)), "n", ((7, 1),), "east")[:2] == (pytest.approx(51.025), 7.0)


@pytest.mark.parametrize(
    ("latitude", "north", "longitude", "east", "note"),
    [
        (((91, 1),), "N", ((2, 1),), "E", "gps-out-of-range"),
        (((48, 1),), "N", ((181, 1),), "E", "gps-out-of-range"),
        (((0, 1),), "N", ((0, 1),), "E", "gps-zero"),
        (((48, 0),), "N", ((2, 1),), "E", "gps-unreadable"),
        (((0, 0),), "N", ((2, 1),), "E", "gps-unreadable"),
        (((48, 1), (5, 0)), "N", ((2, 1),), "E", "gps-unreadable"),
        (((48, 1),), None, ((2, 1),), "E", "gps-hemisphere-missing"),
        (((48, 1),), "?", ((2, 1),), "E", "gps-hemisphere-missing"),
    ],
)
def test_an_incomplete_or_impossible_location_is_absent_and_noted(
    latitude: Fractions, north: str | None, longitude: Fractions, east: str | None, note: str
) -> None:
    found = location(latitude, north, longitude, east)
    assert found[:2] == (None, None)
    assert note in found[2]


def signed(numerator: int) -> bytes:
    return numerator.to_bytes(4, "big", signed=True) + (1).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("degrees", "minutes", "letters", "expected"),
    [
        ((-33, 151), (52, 12), "SE", (-33.866667, 151.2)),
        ((-33, -70), (-27, -40), "SW", (-33.45, -70.666667)),
        ((-33, 151), (0, 0), "NE", (33.0, 151.0)),
    ],
)
def test_the_letter_decides_the_hemisphere_of_signed_degrees(
    degrees: tuple[int, int], minutes: tuple[int, int], letters: str, expected: tuple[float, float]
) -> None:
    values = [Tag(number, 10, signed(degrees[n]) + signed(minutes[n])) for n, number in enumerate((2, 4))]
    facts = facts_with(gps=(text(1, letters[0]), values[0], text(3, letters[1]), values[1]))
    assert facts.latitude == pytest.approx(expected[0])
    assert facts.longitude == pytest.approx(expected[1])
    assert facts.notes == ("gps-signed",)


def test_signed_degrees_of_a_real_file_are_in_the_southern_hemisphere(cases: Path) -> None:
    facts = facts_of((cases / "gps_signed_degrees.jpg").read_bytes())
    assert facts.latitude is not None
    assert facts.latitude < 0
    assert "gps-signed" in facts.notes


def test_a_latitude_without_a_longitude_is_absent_and_noted() -> None:
    facts = facts_with(gps=(text(1, "N"), fractions(2, (48, 1))))
    assert (facts.latitude, facts.longitude, facts.notes) == (None, None, ("gps-incomplete",))


def test_an_altitude_below_sea_level_is_negative() -> None:
    gps = (text(1, "N"), fractions(2, (48, 1)), text(3, "E"), fractions(4, (2, 1)), fractions(6, (125, 10)))
    assert facts_with(gps=(byte(5, 1), *gps)).altitude_m == -12.5
    assert facts_with(gps=(byte(5, 0), *gps)).altitude_m == 12.5
    assert facts_with(gps=(*gps[:-1], fractions(6, (1, 0)))).altitude_m is None
