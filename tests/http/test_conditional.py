"""Entity tags and conditional request headers (RFC 9110, section 13)."""

import pytest

from imagesvc.errors import PreconditionFailed
from imagesvc.http.conditional import (
    allows_range,
    is_unchanged,
    matches_strongly,
    parse_etags,
    require_match,
    strong_etag,
    weak_etag,
)


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ('"a"', {'"a"'}),
        ('W/"a", "b"', {'W/"a"', '"b"'}),
        ('"a","b" , "c"', {'"a"', '"b"', '"c"'}),
        (', "a",, "b",', {'"a"', '"b"'}),
        ('""', {'""'}),
        ('"with,comma", "b"', {'"with,comma"', '"b"'}),
        ("*", {"*"}),
        (" * ", {"*"}),
        ("a", set()),
        ('"a" "b"', set()),
        ('w/"a"', set()),
        ('"a', set()),
        ('"a space"', set()),
        ('*, "a"', set()),
        ("", set()),
    ],
)
def test_a_list_of_entity_tags_is_parsed_as_rfc_9110_defines_it(header: str, tags: set[str]) -> None:
    assert parse_etags(header) == tags


def test_a_long_malformed_list_of_tags_is_rejected_without_backtracking() -> None:
    assert parse_etags('"a", ' * 3_000 + "!") == set()


@pytest.mark.parametrize("header", ['"a"', 'W/"a"', '"x", "a"', "*"])
@pytest.mark.parametrize("etag", [strong_etag("a"), weak_etag("a")])
def test_if_none_match_compares_weakly(header: str, etag: str) -> None:
    assert is_unchanged({"if-none-match": header}, etag)


@pytest.mark.parametrize("header", ['"b"', "a", ""])
def test_a_different_or_malformed_tag_means_that_the_resource_has_changed(header: str) -> None:
    assert not is_unchanged({"if-none-match": header}, strong_etag("a"))


def test_without_if_none_match_the_resource_counts_as_changed() -> None:
    assert not is_unchanged({}, strong_etag("a"))


@pytest.mark.parametrize(
    ("header", "etag", "same"),
    [
        ('"a"', '"a"', True),
        ('W/"a"', '"a"', False),
        ('"a"', 'W/"a"', False),
        ("*", 'W/"a"', True),
        ('"b"', '"a"', False),
    ],
)
def test_if_match_compares_strongly(header: str, etag: str, same: bool) -> None:
    assert matches_strongly(header, etag) is same


def test_a_stale_if_match_is_412_with_the_current_etag() -> None:
    with pytest.raises(PreconditionFailed) as failure:
        require_match({"if-match": '"old"'}, '"new"')

    assert failure.value.headers == {"ETag": '"new"'}


@pytest.mark.parametrize("headers", [{}, {"if-match": '"new"'}, {"if-match": "*"}])
def test_a_change_without_if_match_or_with_the_current_tag_is_allowed(headers: dict[str, str]) -> None:
    require_match(headers, '"new"')


@pytest.mark.parametrize(
    ("header", "etag", "allowed"),
    [
        ('"a"', '"a"', True),
        ('"b"', '"a"', False),
        ('W/"a"', 'W/"a"', False),
        ("Sat, 21 Nov 2026 03:00:00 GMT", '"a"', False),
    ],
)
def test_if_range_allows_a_range_only_for_the_same_strong_tag(header: str, etag: str, allowed: bool) -> None:
    assert allows_range({"if-range": header}, etag) is allowed
