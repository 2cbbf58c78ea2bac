"""Gauges of what the servers contain, queried on a scrape: requests cost nothing, and values are right after a restart.

All processes would report the same values, so only the API exposes them; aggregate them with ``max``. Scrapes within
five seconds share one result. A server that does not answer in time removes only its own metrics from the page.

The statement runs on asyncpg through `Database.fetch_one`, which the caller passes in.
"""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TypedDict, TypeVar

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric

CACHE_SECONDS = 5.0
TIMEOUT_SECONDS = 2.0

# finished tasks have no row and the statistics are aggregated: the cost depends on unfinished work, not on history
COUNTS = """
    SELECT
        (SELECT coalesce(json_agg(t), '[]') FROM (
            SELECT kind, state, count(*) AS count FROM tasks GROUP BY kind, state) t) AS tasks,
        (SELECT count(*) FROM tasks WHERE state = 'dead') AS dead_letters,
        (SELECT greatest(0, extract(epoch FROM now() - least(
            (SELECT min(due_at) FROM tasks WHERE state = 'pending' AND turn_of IS NULL), -- others: fair queue
            (SELECT min(lease_until) FROM tasks WHERE state = 'running'))))::float) AS oldest_due_seconds,
        (SELECT coalesce(json_agg(l), '[]') FROM (
            SELECT state, count(*) AS count, extract(epoch FROM now() - min(created_at)) AS seconds
            FROM loose_objects GROUP BY state) l) AS loose_objects,
        (SELECT coalesce(json_agg(f), '[]') FROM stats_formats f) AS formats,
        (SELECT coalesce(json_agg(b), '[]') FROM (
            SELECT name AS media_type, sum(count)::bigint AS count FROM stats_all WHERE kind = 'blobs'
            GROUP BY name HAVING sum(count) <> 0) b) AS blobs,
        (SELECT row_to_json(t) FROM stats_totals t) AS totals
"""

log = structlog.get_logger(__name__)
T = TypeVar("T")
Check = Callable[[], Awaitable[object]]


class TaskCount(TypedDict):
    kind: str
    state: str
    count: int


class LooseObjectCount(TypedDict):
    state: str
    count: int
    seconds: float


class FormatCount(TypedDict):
    media_type: str
    count: int


class Totals(TypedDict):
    bytes_received: int
    bytes_stored: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseCounts:
    """The result of ``COUNTS``."""

    tasks: list[TaskCount]
    dead_letters: int
    oldest_due_seconds: float
    loose_objects: list[LooseObjectCount]
    formats: list[FormatCount]
    blobs: list[FormatCount]
    totals: Totals


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The result of one refresh. None: unknown, because the server did not answer."""

    dependencies: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    counts: DatabaseCounts | None = None
    has_worker: bool | None = None


class DatabaseGauges:
    """A collector of the gauges. Call ``refresh`` before ``collect``.

    ``checks`` raise when their server is unavailable. ``has_worker`` returns whether a worker has sent a heartbeat.
    """

    def __init__(
        self,
        *,
        fetch_one: Callable[[str, type[DatabaseCounts]], Awaitable[DatabaseCounts]],
        checks: Mapping[str, Check],
        has_worker: Callable[[], Awaitable[bool]],
    ) -> None:
        self._fetch_one = fetch_one
        self._checks = checks
        self._has_worker = has_worker
        self._snapshot = Snapshot()
        self._refreshed_at = float("-inf")
        self._refresh_lock = asyncio.Lock()

    @property
    def snapshot(self) -> Snapshot:
        """The result of the last refresh."""
        return self._snapshot

    async def refresh(self) -> None:
        """Query the servers unless the last result is less than 5 seconds old. Never raises."""
        async with self._refresh_lock:
            if time.monotonic() - self._refreshed_at < CACHE_SECONDS:
                return
            counts, has_worker, states = await asyncio.gather(
                _result_or_none("database", self._fetch_one(COUNTS, DatabaseCounts)),
                _result_or_none("worker", self._has_worker()),
                asyncio.gather(*(_result_or_none(name, _succeeds(check)) for name, check in self._checks.items())),
            )
            dependencies = {name: bool(state) for name, state in zip(self._checks, states, strict=True)}
            self._snapshot = Snapshot(dependencies=dependencies, counts=counts, has_worker=has_worker)
            self._refreshed_at = time.monotonic()

    def collect(self) -> Iterator[Metric]:
        """The metrics of the last snapshot, for prometheus_client."""
        snapshot = self._snapshot
        yield _gauge(
            "imagesvc_dependency_up",
            "Whether the server answered this process in time: 1 yes, 0 no",
            "dependency",
            {name: float(up) for name, up in snapshot.dependencies.items()},
        )
        if snapshot.has_worker is not None:
            yield GaugeMetricFamily(
                "imagesvc_worker_heartbeat",
                "Whether a worker has sent a heartbeat within 11 s: 1 yes, 0 no",
                float(snapshot.has_worker),
            )
        yield GaugeMetricFamily(
            "imagesvc_census_up",
            "Whether the database query for these metrics succeeded: if 0, the other gauges are missing",
            float(snapshot.counts is not None),
        )
        if snapshot.counts is not None:
            yield from _tasks(snapshot.counts)
            yield from _loose_objects(snapshot.counts)
            yield from _contents(snapshot.counts)


def _tasks(counts: DatabaseCounts) -> Iterator[Metric]:
    family = GaugeMetricFamily("imagesvc_tasks", "Unfinished tasks: pending, running, dead", labels=["kind", "state"])
    for row in counts.tasks:
        family.add_metric([row["kind"], row["state"]], row["count"])
    yield family
    yield GaugeMetricFamily("imagesvc_dead_letters", "Tasks that have used up their attempts", counts.dead_letters)
    yield GaugeMetricFamily(
        "imagesvc_oldest_due_task_seconds",
        "How long the oldest due task has been waiting for a worker",
        counts.oldest_due_seconds,
    )


def _loose_objects(counts: DatabaseCounts) -> Iterator[Metric]:
    numbers = dict.fromkeys(("held", "reaping", "gone"), 0.0)
    ages = dict(numbers)
    for row in counts.loose_objects:
        numbers[row["state"]], ages[row["state"]] = row["count"], max(0.0, float(row["seconds"]))
    yield _gauge("imagesvc_loose_objects", "Keys without an owner: held, reaping, gone (tombstones)", "state", numbers)
    yield _gauge("imagesvc_oldest_loose_object_seconds", "Age of the oldest key without an owner", "state", ages)


def _contents(counts: DatabaseCounts) -> Iterator[Metric]:
    for name, title, rows in (
        ("imagesvc_images", "Images, without rejected ones", counts.formats),
        ("imagesvc_blobs", "Distinct contents, without rejected ones", counts.blobs),
    ):
        yield _gauge(name, title, "media_type", {row["media_type"]: float(row["count"]) for row in rows})
    received, stored = counts.totals["bytes_received"], counts.totals["bytes_stored"]
    sizes = {"received": received, "stored": stored, "deduplicated": max(0, received - stored)}
    yield _gauge("imagesvc_content_bytes", "Bytes of all uploads, of all blobs, and the difference", "what", sizes)


def _gauge(name: str, documentation: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


async def _succeeds(check: Check) -> bool:
    await check()
    return True


async def _result_or_none(source: str, query: Awaitable[T]) -> T | None:
    """The result of ``query``; None when it raises or takes longer than 2 seconds."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await query
    except Exception as error:
        log.warning("metrics source unavailable", what=source, error=type(error).__name__)
        return None
