"""``Range`` headers (RFC 9110, section 14.2)."""

import pytest

from imagesvc.http.ranges import RangeNotSatisfiable, parse_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-99", (0, 100)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-", (90, 100)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-1", (99, 100)),
        ("bytes=-1000", (0, 100)),
        ("Bytes = 1-2 ", (1, 3)),
    ],
)
def test_a_single_range_is_parsed(header: str, expected: tuple[int, int]) -> None:
    assert parse_range(header, 100) == expected


@pytest.mark.parametrize(
    "header",
    ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-4", "pages=1-2", "bytes=0-1,5-6", "bytes=1", "bytes=٣-٤"],
)
def test_a_malformed_header_several_ranges_or_another_unit_is_ignored(header: str) -> None:
    assert parse_range(header, 100) is None


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0", f"bytes={'9' * 30}-"])
def test_a_range_beyond_the_end_is_416_with_the_size(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as failure:
        parse_range(header, 100)

    assert failure.value.headers == {"Content-Range": "bytes */100"}


def test_a_number_of_five_thousand_digits_is_ignored() -> None:
    assert parse_range(f"bytes={'9' * 5_000}-", 100) is None


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-5"])
def test_no_range_of_an_empty_file_can_be_satisfied(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(header, 0)
