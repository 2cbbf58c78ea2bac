"""Builds the SQL of a search from the given filters, with all values as parameters, and reads its rows (asyncpg).

The text differs with the filters, so it cannot be prebuilt like other statements of asyncpg.
"""
# ruff: noqa: S608 - the text is composed of constants; all values from the request are parameters

import dataclasses
import datetime as dt
from collections.abc import Callable, Sequence
from typing import Literal
from uuid import UUID

import asyncpg

from imagesvc.images.reads import IMAGE, ImageRow, image_row
from imagesvc.images.search.geo_index import code_ranges
from imagesvc.images.search.schemas import ImageSearch
from imagesvc.images.search.visibility import VISIBILITIES, VisibleSet

Plan = Literal["ordered", "scan", "collect"]
"""``ordered``: indexes list the matches in order, and the statement reads one page. ``scan``: the first images of an
ordered list are tested one by one. ``collect``: an index finds all matches, which are then sorted."""
UNORDERED_FILTERS = ("q", "near", "min_score", "captured_from", "captured_to")
"""No index lists their matches in the order of the result, except where the result is sorted by the filter's value."""
UPLOAD_FILTERS = ("store_id", "store_name", "camera_id", "barcode", "link_id", "batch_id")

UNKNOWN_TIME = "'0001-01-02 00:00:00+00'::timestamptz"
"""The sort value of an unknown capture time. It is not the first moment of Python's calendar, because asyncpg sends
that as minus infinity."""
_OWNER_EXISTS = "i.owner_id <> ALL (ARRAY(SELECT id FROM users WHERE deleted_at IS NOT NULL))"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SortPosition:
    """The sort values of one image, by which the next page starts after it."""

    key: dt.datetime | int
    id: UUID


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One image of a result."""

    position: SortPosition
    image: ImageRow


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """``scanned`` is the number of images that the plan ``scan`` tested, 0 for the other plans."""

    scanned: int
    matches: Sequence[Match]

    @classmethod
    def of(cls, records: Sequence[asyncpg.Record]) -> "SearchResult":
        """Reads the rows of a statement: at least one, whose image is NULL when nothing matched."""
        return cls(
            scanned=records[0]["scanned"],
            matches=[
                Match(position=SortPosition(key=record["key"], id=record["id"]), image=image_row(record))
                for record in records
                if record["id"] is not None
            ],
        )


def has_ordered_plan(wanted: ImageSearch) -> bool:
    """Whether indexes list the matches in order. A range of the sort value itself only bounds that list."""
    ranges_of_sort = {"score": {"min_score"}, "captured": {"captured_from", "captured_to"}}
    bounds = ranges_of_sort.get(wanted.sort.removeprefix("-"), set())
    return all(getattr(wanted, name) is None for name in UNORDERED_FILTERS if name not in bounds)


class SearchStatement:
    """One search with one plan: ``text`` and its ``arguments``."""

    def __init__(
        self,
        plan: Plan,
        wanted: ImageSearch,
        sets: Sequence[VisibleSet],
        *,
        caller_id: UUID | None,
        is_admin: bool,
        after: SortPosition | None,
        rows: int,
        max_scanned: int,
    ) -> None:
        self.arguments: list[object] = [caller_id, is_admin]
        self._plan, self._wanted, self._sets, self._after = plan, wanted, sets, after
        self._max_scanned = max_scanned
        self._direction = "DESC" if wanted.sort.startswith("-") else "ASC"
        self._uploads = {name: value for name in UPLOAD_FILTERS if (value := getattr(wanted, name)) is not None}
        self._by_upload = bool(self._uploads) and wanted.sort.endswith("created_at")
        self._created = "u.image_created_at" if self._by_upload else "i.created_at"
        self._id = "u.image_id" if self._by_upload else "i.id"
        self._key = {"created_at": self._created, "captured": "i.captured_order", "score": "i.score"}[
            wanted.sort.removeprefix("-")
        ]
        self.text = self._build(rows)

    def _build(self, rows: int) -> str:
        order = f"ORDER BY key {self._direction}, id {self._direction}"
        conditions, tests = self._index_conditions(), self._tests()
        match self._plan:
            case "ordered":
                sets = self._union_of_sets(conditions + tests, then=f"{order} LIMIT {rows}")
                parts = [f"page AS MATERIALIZED (SELECT key, id FROM ({sets}) AS sets {order} LIMIT {rows})"]
            case "scan":
                matches = " AND ".join(f"({test})" for test in tests)
                first = f"{order} LIMIT {self._max_scanned}"
                sets = self._union_of_sets(conditions, matches=matches, then=first)
                parts = [
                    f"scanned AS MATERIALIZED (SELECT key, id, matches FROM ({sets}) AS sets {first})",
                    f"page AS MATERIALIZED (SELECT key, id FROM scanned WHERE matches {order} LIMIT {rows})",
                ]
            case "collect":
                sets = self._union_of_sets(conditions + tests + self._lookups())
                parts = [
                    f"collected AS MATERIALIZED ({sets})",
                    f"page AS MATERIALIZED (SELECT key, id FROM collected {order} LIMIT {rows})",
                ]
        scanned = "(SELECT count(*) FROM scanned)" if self._plan == "scan" else "0"
        return f"""
            WITH {", ".join(parts)}
            SELECT {scanned} AS scanned, page.key, image.*
            FROM (SELECT) AS one LEFT JOIN page ON true
            LEFT JOIN LATERAL ({IMAGE} WHERE i.id = page.id) AS image ON true
            ORDER BY page.key {self._direction}, page.id {self._direction}
        """

    def _union_of_sets(self, conditions: Sequence[str], *, matches: str = "true", then: str = "") -> str:
        source = "uploads u JOIN images i ON i.id = u.image_id" if self._by_upload else "images i"
        # an image with several matching uploads has several rows, one after the other
        distinct = "DISTINCT" if self._by_upload else ""
        select = f"SELECT {distinct} {self._key} AS key, {self._id} AS id, {matches} AS matches"
        # The sets are separate only to keep the order of their indexes. To collect needs no order, but the index of
        # the score starts with the visibility too.
        is_split = not self._by_upload and (self._plan != "collect" or self._wanted.min_score is not None)
        selects = [
            f"({select} FROM {source} WHERE {' AND '.join([self._within(sets), _OWNER_EXISTS, *conditions])} {then})"
            for sets in ([[visible] for visible in self._sets] if is_split else [self._sets])
        ]
        return " UNION ALL ".join(selects)

    def _within(self, sets: Sequence[VisibleSet]) -> str:
        """Images of one of these sets."""
        owners = {visible.owner_id for visible in sets}
        if len(sets) == len(VISIBILITIES) and len(owners) == 1:
            return self._owned_by(owners.pop())
        return "(" + " OR ".join(self._within_one(visible) for visible in sets) + ")"

    def _within_one(self, visible: VisibleSet) -> str:
        return f"(i.visibility = '{visible.visibility}' AND {self._owned_by(visible.owner_id)})"

    def _owned_by(self, owner_id: UUID | None) -> str:
        if owner_id is None:
            return "true"
        owner = self._parameter(owner_id, "uuid")
        return f"i.owner_id = {owner} AND u.owner_id = {owner}" if self._by_upload else f"i.owner_id = {owner}"

    def _index_conditions(self) -> list[str]:
        """Where the page starts, and the conditions whose columns indexes have before the sort value."""
        wanted, conditions = self._wanted, []
        if self._after is not None:
            comparison = "<" if self._direction == "DESC" else ">"
            kind = "bigint" if self._key == "i.score" else "timestamptz"
            key, last = self._parameter(self._after.key, kind), self._parameter(self._after.id, "uuid")
            conditions.append(f"({self._key}, {self._id}) {comparison} ({key}, {last})")
        if wanted.state is not None:
            conditions.append(f"i.state = '{wanted.state}'")
        if wanted.format is not None:
            conditions.append(f"i.media_type = {self._parameter(wanted.format, 'text')}")
        if wanted.camera_model is not None:
            model = " ".join(wanted.camera_model.split())
            conditions.append(f"camera_key(i.camera) = camera_key({self._parameter(model, 'text')})")
        if wanted.uploaded_from is not None:
            conditions.append(f"{self._created} >= {self._parameter(wanted.uploaded_from, 'timestamptz')}")
        if wanted.uploaded_to is not None:
            conditions.append(f"{self._created} <= {self._parameter(wanted.uploaded_to, 'timestamptz')}")
        return conditions + self._upload_conditions()

    def _upload_conditions(self) -> list[str]:
        """All filters on uploads must match the same upload."""
        conditions = [
            f"u.{name} = {self._parameter(value, 'uuid' if isinstance(value, UUID) else 'text')}"
            for name, value in self._uploads.items()
        ]
        if self._by_upload or not conditions:
            return conditions
        return [f"i.id IN (SELECT u.image_id FROM uploads u WHERE {' AND '.join(conditions)})"]

    def _tests(self) -> list[str]:
        """Conditions that are tested on each image, without an index."""
        wanted, tests = self._wanted, []
        if wanted.q is not None:
            text = f"(SELECT search_text({self._parameter(wanted.q, 'text')}))"
            tests.append(f"strpos(i.words, {text}) > 0 OR (($2 OR i.owner_id = $1) AND strpos(i.names, {text}) > 0)")
        if wanted.near is not None:
            place = [self._parameter(value, "float8") for value in (wanted.near.latitude, wanted.near.longitude)]
            km = self._parameter(wanted.near.km, "float8")
            tests.append("i.place IS NOT NULL")
            tests.append(f"kilometres_between(i.latitude, i.longitude, {', '.join(place)}) <= {km}")
        if wanted.min_score is not None:
            tests.append(f"i.score >= {self._parameter(wanted.min_score)}")
        if wanted.captured_from is not None or wanted.captured_to is not None:
            tests.append(f"i.captured_order > {UNKNOWN_TIME}")
        if wanted.captured_from is not None:
            tests += self._capture_tests(">=", wanted.captured_from, widest=min)
        if wanted.captured_to is not None:
            tests += self._capture_tests("<=", wanted.captured_to, widest=max)
        return [f"({test})" for test in tests]

    def _capture_tests(
        self, comparison: str, time: dt.datetime, *, widest: Callable[[dt.datetime, dt.datetime], dt.datetime]
    ) -> list[str]:
        """Compares the instant where it is known, else the camera's clock with the local time of ``time``.

        ``captured_order``, which has an index, is one of the two read as UTC. Its bound is the wider one.
        """
        local_time = time.replace(tzinfo=None)
        if not time.utcoffset():
            return [f"i.captured_order {comparison} {self._parameter(time, 'timestamptz')}"]
        bound = self._parameter(widest(time, local_time.replace(tzinfo=dt.UTC)), "timestamptz")
        instant, local = self._parameter(time, "timestamptz"), self._parameter(local_time, "timestamp")
        return [
            f"i.captured_order {comparison} {bound}",
            f"coalesce(i.captured_utc {comparison} {instant}, i.captured_local {comparison} {local})",
        ]

    def _lookups(self) -> list[str]:
        """Conditions that find the matches of a test by an index. To test them on each image would be expensive."""
        lookups = []
        if self._wanted.q is not None:
            text = self._parameter(self._wanted.q, "text")
            lookups.append(f"search_grams(i.words, i.names) @@ (SELECT search_query(search_text({text})))")
        if self._wanted.near is not None:
            ranges = [
                f"i.place BETWEEN {self._parameter(low)} AND {self._parameter(high)}"
                for low, high in code_ranges(self._wanted.near)
            ]
            lookups.append(f"({' OR '.join(ranges)})")
        return lookups

    def _parameter(self, value: object, kind: str = "bigint") -> str:
        """Adds an argument and returns its placeholder, cast to an SQL type."""
        self.arguments.append(value)
        return f"${len(self.arguments)}::{kind}"
