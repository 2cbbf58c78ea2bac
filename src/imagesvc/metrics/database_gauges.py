"""What the servers hold, counted when somebody looks: so that no request pays for it, and it is right after a restart.

It is the same whichever process tells it, so only the API does; read it with ``max``. Whoever asks again within a few
seconds is told the same, and a server that does not answer in time costs its own figures only.
"""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric

KEPT_SECONDS = 5.0
ANSWER_SECONDS = 2.0

# tasks that are done have no row, and the statistics are folded: all of it costs what is unfinished, not what was done
HELD = """
    SELECT
        (SELECT json_agg(t) FROM (SELECT kind, state, count(*) AS count FROM tasks GROUP BY kind, state) t) AS tasks,
        (SELECT count(*) FROM tasks WHERE state = 'dead') AS dead_letters,
        (SELECT greatest(0, extract(epoch FROM now() - least(
            (SELECT min(due_at) FROM tasks WHERE state = 'pending' AND turn_of IS NULL), -- others wait for their turn
            (SELECT min(lease_until) FROM tasks WHERE state = 'running'))))::float) AS oldest_due_seconds,
        (SELECT json_agg(l) FROM (
            SELECT state, count(*) AS count, extract(epoch FROM now() - min(created_at)) AS seconds
            FROM loose_objects GROUP BY state) l) AS loose_objects,
        (SELECT json_agg(f) FROM stats_formats f) AS formats,
        (SELECT json_agg(b) FROM (
            SELECT name AS media_type, sum(count)::bigint AS count FROM stats_all WHERE kind = 'blobs'
            GROUP BY name HAVING sum(count) <> 0) b) AS blobs,
        (SELECT row_to_json(t) FROM stats_totals t) AS totals
"""

log = structlog.get_logger(__name__)
T = TypeVar("T")
Ask = Callable[[], Awaitable[Any]]
FetchRow = Callable[[str], Awaitable[Any]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """None: not known, because whoever knows did not answer."""

    dependencies: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    held: Any = None
    has_worker: bool | None = None


class Census:
    """``checks`` raise when a server is away; ``has_worker`` tells whether any worker has lately been heard of."""

    def __init__(self, *, fetch_row: FetchRow, checks: Mapping[str, Ask], has_worker: Ask) -> None:
        self._fetch_row = fetch_row
        self._checks = checks
        self._has_worker = has_worker
        self._found = Found()
        self._taken_at = float("-inf")
        self._taking = asyncio.Lock()

    async def take(self) -> None:
        """See to it that what ``collect`` tells is not older than a few seconds. Never raises."""
        async with self._taking:
            if time.monotonic() - self._taken_at < KEPT_SECONDS:
                return
            held, has_worker, *states = await asyncio.gather(
                _within("held", lambda: self._fetch_row(HELD)),
                _within("worker", self._has_worker),
                *(_within(name, check, default=True) for name, check in self._checks.items()),
            )
            dependencies = {name: bool(state) for name, state in zip(self._checks, states, strict=True)}
            self._found = Found(dependencies=dependencies, held=held, has_worker=has_worker)
            self._taken_at = time.monotonic()

    def collect(self) -> Iterator[Metric]:
        found = self._found
        yield _gauge(
            "imagesvc_dependency_up",
            "Whether it answered this process in time",
            "dependency",
            {name: float(up) for name, up in found.dependencies.items()},
        )
        if found.has_worker is not None:
            yield GaugeMetricFamily(
                "imagesvc_worker_heartbeat", "1: a worker has told within 11 s that it lives", float(found.has_worker)
            )
        yield GaugeMetricFamily(
            "imagesvc_census_up", "Whether the database told what it holds: else these figures are missing",
            float(found.held is not None),
        )  # fmt: skip
        if found.held is not None:
            yield from _tasks(found.held)
            yield from _loose_objects(found.held["loose_objects"] or [])
            yield from _contents(found.held)


def _tasks(held: Any) -> Iterator[Metric]:
    family = GaugeMetricFamily("imagesvc_tasks", "Unfinished tasks: pending, running, dead", labels=["kind", "state"])
    for row in held["tasks"] or []:
        family.add_metric([row["kind"], row["state"]], row["count"])
    yield family
    yield GaugeMetricFamily("imagesvc_dead_letters", "Tasks that have used up their attempts", held["dead_letters"])
    yield GaugeMetricFamily(
        "imagesvc_oldest_due_task_seconds",
        "How long the task that waits the longest could have been worked on",
        held["oldest_due_seconds"] or 0.0,
    )


def _loose_objects(rows: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    counts = dict.fromkeys(("held", "reaping", "gone"), 0.0)
    ages = dict(counts)
    for row in rows:
        counts[row["state"]], ages[row["state"]] = row["count"], max(0.0, float(row["seconds"]))
    yield _gauge("imagesvc_loose_objects", "Keys that nothing owns: held, reaping, gone (tombstones)", "state", counts)
    yield _gauge("imagesvc_oldest_loose_object_seconds", "Age of the oldest of them", "state", ages)


def _contents(held: Any) -> Iterator[Metric]:
    for name, rows, what in (("images", "formats", "Images"), ("blobs", "blobs", "Distinct contents")):
        by_format = {row["media_type"]: float(row["count"]) for row in held[rows] or []}
        yield _gauge(f"imagesvc_{name}", f"{what} that are not rejected", "media_type", by_format)
    received, stored = held["totals"]["bytes_received"], held["totals"]["bytes_stored"]
    sizes = {"received": received, "stored": stored, "deduplicated": max(0, received - stored)}
    yield _gauge("imagesvc_content_bytes", "Bytes of uploads, of blobs, and the difference", "what", sizes)


def _gauge(name: str, documentation: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


async def _within(what: str, ask: Callable[[], Awaitable[T]], *, default: Any = None) -> Any:
    """What is answered in time (``default`` for an answer of None); None otherwise."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await ask()
    except Exception as error:
        log.warning("nothing to count", what=what, error=type(error).__name__)
        return None
    return default if answer is None else answer
