"""When a picture was taken by the camera's clock, and the offset of that clock from UTC."""

from datetime import datetime

import pytest

from tests.processing.tagged_jpegs import DIGITIZED, ORIGINAL, facts_with, local
from tests.support.exif_blocks import Tag, fractions, text


def captured(*exif: Tag, gps: tuple[Tag, ...] = (), xmp: bytes | None = None) -> tuple[datetime | None, int | None]:
    facts = facts_with(exif=exif, gps=gps, xmp=xmp)
    return facts.captured_local, facts.captured_offset_minutes


def test_the_original_time_uses_its_own_fraction_and_offset() -> None:
    own = (text(ORIGINAL, "2020:09:02 10:11:12"), text(0x9291, "123"), text(0x9011, "-03:30"))
    others = (
        text(DIGITIZED, "2021:01:01 00:00:00"),
        text(0x9292, "999"),
        text(0x9012, "+01:00"),
        text(0x9010, "+05:00"),
    )
    assert captured(*own, *others) == (local(2020, 9, 2, 10, 11, 12, 123_000), -210)


def test_the_general_offset_applies_only_without_a_specific_offset() -> None:
    time = text(ORIGINAL, "2020:09:02 10:11:12")
    assert captured(time, text(0x9010, "+05:00"))[1] == 300
    assert captured(time, text(0x9010, "+05:00"), text(0x9012, "+01:00"))[1] == 300
    assert captured(time, text(0x9010, "+05:00"), text(0x9011, "   :  "))[1] == 300
    assert captured(time, text(0x9012, "+01:00"))[1] is None


@pytest.mark.parametrize(
    "unreadable",
    [
        "0000:00:00 00:00:00",
        "    :  :     :  :  ",
        "2021:02:30 10:00:00",
        "2020:09:02 25:00:00",
        "yesterday",
        "2020:09:02",
    ],
)
def test_an_impossible_time_is_noted_and_the_next_one_is_used(unreadable: str) -> None:
    facts = facts_with(exif=(text(ORIGINAL, unreadable), text(DIGITIZED, "2021:03:04 05:06:07"), text(0x9292, "25")))
    assert facts.captured_local == local(2021, 3, 4, 5, 6, 7, 250_000)
    assert facts.notes == ("capture-time-unreadable",)


@pytest.mark.parametrize("fraction", ["abc", "", "  "])
def test_an_invalid_fraction_is_ignored(fraction: str) -> None:
    assert captured(text(ORIGINAL, "2020:09:02 10:11:12"), text(0x9291, fraction))[0] == local(2020, 9, 2, 10, 11, 12)


@pytest.mark.parametrize(
    ("written", "minutes"), [("+02:00", 120), ("-0330", -210), ("Z", 0), ("+14:00", 840), ("+9", 540)]
)
def test_offsets_are_read_in_all_common_spellings(written: str, minutes: int) -> None:
    assert captured(text(ORIGINAL, "2020:09:02 10:11:12"), text(0x9011, written))[1] == minutes


@pytest.mark.parametrize("written", ["+15:00", "-13:00", "+02:75", "north", "+2:0:0"])
def test_an_impossible_offset_is_unknown(written: str) -> None:
    assert captured(text(ORIGINAL, "2020:09:02 10:11:12"), text(0x9011, written))[1] is None


def gps_time(hours: int, minutes: int, seconds: int, date: str = "2020:09:02") -> tuple[Tag, ...]:
    return fractions(7, (hours, 1), (minutes, 1), (seconds, 1)), text(29, date)


@pytest.mark.parametrize(
    ("clock", "offset"),
    [
        ((8, 11, 3), 120),
        ((8, 5, 0), 120),
        ((4, 26, 0), 345),
        ((10, 11, 40), 0),
        ((7, 26, 0), None),
    ],
)
def test_gps_time_gives_the_offset_if_that_offset_is_in_use(clock: tuple[int, int, int], offset: int | None) -> None:
    facts = facts_with(exif=(text(ORIGINAL, "2020:09:02 10:11:12"),), gps=gps_time(*clock))
    assert facts.captured_offset_minutes == offset
    assert facts.offset_source == ("gps" if offset is not None else None)


def test_gps_time_may_be_on_another_day() -> None:
    time = text(ORIGINAL, "2020:09:02 01:11:12")
    assert captured(time, gps=gps_time(23, 11, 10, "2020:09:01"))[1] == 120


def test_a_written_offset_takes_precedence_over_gps_time() -> None:
    facts = facts_with(exif=(text(ORIGINAL, "2020:09:02 10:11:12"), text(0x9011, "+01:00")), gps=gps_time(8, 11, 12))
    assert (facts.captured_offset_minutes, facts.offset_source) == (60, "exif")


def test_an_unknown_offset_is_not_assumed_to_be_utc() -> None:
    facts = facts_with(exif=(text(ORIGINAL, "2020:09:02 10:11:12"),))
    assert (facts.captured_offset_minutes, facts.offset_source) == (None, None)
