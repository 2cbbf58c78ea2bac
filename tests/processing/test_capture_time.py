"""Capture time by the camera's clock, and the offset of that clock from UTC."""

from datetime import datetime

import pytest

from tests.processing.tagged_jpegs import DIGITIZED, ORIGINAL, facts_with, local
from tests.support.exif_blocks import Tag, fractions, packet, text


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
        "yesterday",
        "2021:03:04 25:00:00",
        "2021:03:04",
        "2021-3-4 noon",
    ],
)
def test_a_malformed_time_is_replaced_by_the_next_one_if_it_names_no_other_day(unreadable: str) -> None:
    facts = facts_with(exif=(text(ORIGINAL, unreadable), text(DIGITIZED, "2021:03:04 05:06:07"), text(0x9292, "25")))
    assert facts.captured_local == local(2021, 3, 4, 5, 6, 7, 250_000)
    assert facts.notes == ("capture-time-unreadable",)


@pytest.mark.parametrize(
    "unreadable", ["2020:09:02 25:00:00", "2020:09:02", "2021:02:30 10:00:00", "2021:03:05 24:60:00", "1999"]
)
def test_a_malformed_time_is_not_replaced_by_a_time_of_another_day(unreadable: str) -> None:
    others = (text(DIGITIZED, "2021:03:04 05:06:07"),)
    facts = facts_with(exif=(text(ORIGINAL, unreadable), *others), xmp=packet('xmp:CreateDate="2021-03-04T05:06:07"'))
    assert facts.captured_local is None
    assert facts.notes == ("capture-time-unreadable",)


@pytest.mark.parametrize("hour", ["24", "00"])
def test_hour_24_is_the_first_hour_of_the_written_date(hour: str) -> None:
    """Some phones write it after midnight."""
    original, digitized = text(ORIGINAL, f"2019:01:01 {hour}:04:20"), text(DIGITIZED, "2019:01:02 00:04:20")
    facts = facts_with(exif=(original, digitized))
    assert facts.captured_local == local(2019, 1, 1, 0, 4, 20)
    assert facts.notes == ()


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


def gps_time(
    hours: int, minutes: int, seconds: int, date: str = "2020:09:02", *, longitude: float | None = 15
) -> tuple[Tag, ...]:
    clock = fractions(7, (hours, 1), (minutes, 1), (seconds, 1)), text(29, date)
    if longitude is None:
        return clock
    degrees = fractions(4, (round(abs(longitude) * 1_000), 1_000))
    place = text(1, "N"), fractions(2, (48, 1)), text(3, "E" if longitude >= 0 else "W"), degrees
    return *place, *clock


@pytest.mark.parametrize(
    ("clock", "longitude", "offset"),
    [
        ((8, 11, 3), 15, 120),
        ((8, 5, 0), 15, 120),
        ((4, 26, 0), 84, 345),
        ((10, 11, 40), 0, 0),
        ((7, 26, 0), 40, None),
        ((8, 11, 3), None, None),
    ],
)
def test_gps_time_gives_the_offset_if_that_offset_is_in_use(
    clock: tuple[int, int, int], longitude: float | None, offset: int | None
) -> None:
    facts = facts_with(exif=(text(ORIGINAL, "2020:09:02 10:11:12"),), gps=gps_time(*clock, longitude=longitude))
    assert facts.captured_offset_minutes == offset
    assert facts.offset_source == ("gps" if offset is not None else None)


@pytest.mark.parametrize(
    ("fix_hour", "longitude", "offset"),
    [(8, 2.35, None), (12, 2.35, None), (13, 2.35, 120), (14, 2.35, 60), (14, -100, None), (21, -100, -360)],
)
def test_a_gps_fix_that_is_hours_old_gives_no_offset(fix_hour: int, longitude: float, offset: int | None) -> None:
    """The clock shows 15:00; an offset may differ by two hours from the mean solar time of the longitude."""
    facts = facts_with(exif=(text(ORIGINAL, "2020:09:02 15:00:00"),), gps=gps_time(fix_hour, 0, 0, longitude=longitude))
    assert facts.captured_offset_minutes == offset
    assert ("gps-time-implausible" in facts.notes) == (offset is None)


def test_gps_time_may_be_on_another_day() -> None:
    time = text(ORIGINAL, "2020:09:02 01:11:12")
    assert captured(time, gps=gps_time(23, 11, 10, "2020:09:01"))[1] == 120


def test_a_written_offset_takes_precedence_over_gps_time() -> None:
    facts = facts_with(exif=(text(ORIGINAL, "2020:09:02 10:11:12"), text(0x9011, "+01:00")), gps=gps_time(8, 11, 12))
    assert (facts.captured_offset_minutes, facts.offset_source) == (60, "exif")


def test_an_unknown_offset_is_not_assumed_to_be_utc() -> None:
    facts = facts_with(exif=(text(ORIGINAL, "2020:09:02 10:11:12"),))
    assert (facts.captured_offset_minutes, facts.offset_source) == (None, None)
