"""The SQL of a search: written for the filters that were given, all values as parameters."""
# ruff: noqa: S608 - what is put together here are our own words; what was sent goes as a parameter

import dataclasses
import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, Literal
from uuid import UUID

from imagesvc.images.reads import IMAGE
from imagesvc.images.search.geo_index import ranges_of
from imagesvc.images.search.schemas import ImageSearch
from imagesvc.images.search.visibility import VISIBILITIES, Lane

Way = Literal["list", "look", "gather"]
"""``list``: indexes give the order. ``look``: through the first few of a list. ``gather``: all, then sorted."""
WITHOUT_ORDER = ("q", "near", "min_score", "captured_from", "captured_to")
OF_UPLOADS = ("store_id", "store_name", "camera_id", "barcode", "link_id", "batch_id")

NEVER = "'0001-01-02 00:00:00+00'::timestamptz"
"""The place in the order of those whose capture time is not known. The very first moment of Python's calendar would be
sent to the database as minus infinity."""
_IS_THERE = "i.owner_id <> ALL (ARRAY(SELECT id FROM users WHERE deleted_at IS NOT NULL))"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """Where the page before ended."""

    key: dt.datetime | int
    id: UUID


def has_order(wanted: ImageSearch) -> bool:
    """Whether indexes can list what is asked for. A range in the order itself begins or ends the list."""
    of_order = {"score": {"min_score"}, "captured": {"captured_from", "captured_to"}}
    served = of_order.get(wanted.sort.removeprefix("-"), set())
    return all(getattr(wanted, name) is None for name in WITHOUT_ORDER if name not in served)


class Statement:
    """One way of one search. ``arguments`` are those of ``text``."""

    def __init__(
        self,
        way: Way,
        wanted: ImageSearch,
        lanes: Sequence[Lane],
        *,
        caller_id: UUID | None,
        is_admin: bool,
        after: After | None,
        rows: int,
        max_looked: int,
    ) -> None:
        self.arguments: list[Any] = [caller_id, is_admin]
        self._way, self._wanted, self._lanes, self._after = way, wanted, lanes, after
        self._max_looked = max_looked
        self._direction = "DESC" if wanted.sort.startswith("-") else "ASC"
        self._uploads = {name: value for name in OF_UPLOADS if (value := getattr(wanted, name)) is not None}
        self._by_upload = bool(self._uploads) and wanted.sort.endswith("created_at")
        self._created = "u.image_created_at" if self._by_upload else "i.created_at"
        self._id = "u.image_id" if self._by_upload else "i.id"
        self._key = {"created_at": self._created, "captured": "i.captured_order", "score": "i.score"}[
            wanted.sort.removeprefix("-")
        ]
        self.text = self._write(rows)

    def _write(self, rows: int) -> str:
        order = f"ORDER BY key {self._direction}, id {self._direction}"
        conditions, loose = self._conditions(), self._loose()
        match self._way:
            case "list":
                lanes = self._lanes_of(conditions + loose, then=f"{order} LIMIT {rows}")
                parts = [f"page AS MATERIALIZED (SELECT key, id FROM ({lanes}) AS lanes {order} LIMIT {rows})"]
            case "look":
                fits = " AND ".join(f"({condition})" for condition in loose)
                first = f"{order} LIMIT {self._max_looked}"
                lanes = self._lanes_of(conditions, fits=fits, then=first)
                parts = [
                    f"looked AS MATERIALIZED (SELECT key, id, fits FROM ({lanes}) AS lanes {first})",
                    f"page AS MATERIALIZED (SELECT key, id FROM looked WHERE fits {order} LIMIT {rows})",
                ]
            case "gather":
                lanes = self._lanes_of(conditions + loose + self._indexed())
                parts = [
                    f"gathered AS MATERIALIZED ({lanes})",
                    f"page AS MATERIALIZED (SELECT key, id FROM gathered {order} LIMIT {rows})",
                ]
        looked = "(SELECT count(*) FROM looked)" if self._way == "look" else "0"
        return f"""
            WITH {", ".join(parts)}
            SELECT {looked} AS looked, page.key, shown.*
            FROM (SELECT) AS one LEFT JOIN page ON true
            LEFT JOIN LATERAL ({IMAGE} WHERE i.id = page.id) AS shown ON true
            ORDER BY page.key {self._direction}, page.id {self._direction}
        """

    def _lanes_of(self, conditions: Sequence[str], *, fits: str = "true", then: str = "") -> str:
        source = "uploads u JOIN images i ON i.id = u.image_id" if self._by_upload else "images i"
        # several uploads of one image come one after the other
        select = f"SELECT {'DISTINCT' if self._by_upload else ''} {self._key} AS key, {self._id} AS id, {fits} AS fits"
        # lanes are for the sake of order; the index of the score begins with the visibility as well
        is_split = not self._by_upload and (self._way != "gather" or self._wanted.min_score is not None)
        selects = [
            f"({select} FROM {source} WHERE {' AND '.join([self._only(lanes), _IS_THERE, *conditions])} {then})"
            for lanes in ([[lane] for lane in self._lanes] if is_split else [self._lanes])
        ]
        return " UNION ALL ".join(selects)

    def _only(self, lanes: Sequence[Lane]) -> str:
        """Images of one of these lanes."""
        owners = {lane.owner_id for lane in lanes}
        if len(lanes) == len(VISIBILITIES) and len(owners) == 1:
            return self._whose(owners.pop())
        return "(" + " OR ".join(self._in(lane) for lane in lanes) + ")"

    def _in(self, lane: Lane) -> str:
        return f"(i.visibility = '{lane.visibility}' AND {self._whose(lane.owner_id)})"

    def _whose(self, owner_id: UUID | None) -> str:
        if owner_id is None:
            return "true"
        owner = self._say(owner_id, "uuid")
        return f"i.owner_id = {owner} AND u.owner_id = {owner}" if self._by_upload else f"i.owner_id = {owner}"

    def _conditions(self) -> list[str]:
        """Those that an index can put before its order, and where the page begins."""
        wanted, found = self._wanted, []
        if self._after is not None:
            comparison = "<" if self._direction == "DESC" else ">"
            kind = "bigint" if self._key == "i.score" else "timestamptz"
            key, last = self._say(self._after.key, kind), self._say(self._after.id, "uuid")
            found.append(f"({self._key}, {self._id}) {comparison} ({key}, {last})")
        if wanted.state is not None:
            found.append(f"i.state = '{wanted.state}'")
        if wanted.format is not None:
            found.append(f"i.media_type = {self._say(wanted.format, 'text')}")
        if wanted.camera_model is not None:
            found.append(f"lower(i.camera) = lower({self._say(' '.join(wanted.camera_model.split()), 'text')})")
        if wanted.uploaded_from is not None:
            found.append(f"{self._created} >= {self._say(wanted.uploaded_from, 'timestamptz')}")
        if wanted.uploaded_to is not None:
            found.append(f"{self._created} <= {self._say(wanted.uploaded_to, 'timestamptz')}")
        return found + self._of_uploads()

    def _of_uploads(self) -> list[str]:
        """All that is asked of uploads has to hold for one upload."""
        found = [
            f"u.{name} = {self._say(value, 'uuid' if isinstance(value, UUID) else 'text')}"
            for name, value in self._uploads.items()
        ]
        if self._by_upload or not found:
            return found
        return [f"i.id IN (SELECT u.image_id FROM uploads u WHERE {' AND '.join(found)})"]

    def _loose(self) -> list[str]:
        """What has to be looked at image by image."""
        wanted, found = self._wanted, []
        if wanted.q is not None:
            text = f"(SELECT search_text({self._say(wanted.q, 'text')}))"
            found.append(f"strpos(i.words, {text}) > 0 OR (($2 OR i.owner_id = $1) AND strpos(i.names, {text}) > 0)")
        if wanted.near is not None:
            place = [self._say(value, "float8") for value in (wanted.near.latitude, wanted.near.longitude)]
            km = self._say(wanted.near.km, "float8")
            found.append("i.place IS NOT NULL")
            found.append(f"kilometres_between(i.latitude, i.longitude, {', '.join(place)}) <= {km}")
        if wanted.min_score is not None:
            found.append(f"i.score >= {self._say(wanted.min_score)}")
        if wanted.captured_from is not None or wanted.captured_to is not None:
            found.append(f"i.captured_order > {NEVER}")
        if wanted.captured_from is not None:
            found += self._captured(">=", wanted.captured_from, nearest=min)
        if wanted.captured_to is not None:
            found += self._captured("<=", wanted.captured_to, nearest=max)
        return [f"({condition})" for condition in found]

    def _captured(self, comparison: str, time: dt.datetime, *, nearest: Callable[..., dt.datetime]) -> list[str]:
        """By the instant where it is known, else by the camera's clock as if it ran in the offset that was written."""
        clock = time.replace(tzinfo=None)
        if not time.utcoffset():
            return [f"i.captured_order {comparison} {self._say(time, 'timestamptz')}"]
        bound = self._say(nearest(time, clock.replace(tzinfo=dt.UTC)), "timestamptz")
        instant, local = self._say(time, "timestamptz"), self._say(clock, "timestamp")
        return [
            f"i.captured_order {comparison} {bound}",
            f"coalesce(i.captured_utc {comparison} {instant}, i.captured_local {comparison} {local})",
        ]

    def _indexed(self) -> list[str]:
        """What finds the same by an index, and would be dear to ask of every image."""
        found = []
        if self._wanted.q is not None:
            text = self._say(self._wanted.q, "text")
            found.append(f"search_grams(i.words, i.names) @@ (SELECT search_query(search_text({text})))")
        if self._wanted.near is not None:
            ranges = [
                f"i.place BETWEEN {self._say(low)} AND {self._say(high)}" for low, high in ranges_of(self._wanted.near)
            ]
            found.append(f"({' OR '.join(ranges)})")
        return found

    def _say(self, value: Any, kind: str = "bigint") -> str:
        self.arguments.append(value)
        return f"${len(self.arguments)}::{kind}"
