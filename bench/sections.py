"""The sections of docs/performance.md: one entry here and one module each."""

import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.servers import Servers

MeasureFunction = Callable[[Servers], Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """``title`` is the heading of a section that the document does not contain yet."""

    name: str
    title: str
    module: str

    def load(self) -> MeasureFunction:
        measure: MeasureFunction = importlib.import_module(self.module).measure
        return measure


SECTIONS = (
    Section(name="uploads", title="Uploads", module="bench.uploads"),
    Section(name="processing", title="Processing one photo", module="bench.processing"),
    Section(name="ready", title="From response to `ready`", module="bench.ready"),
    Section(name="backlog", title="Pictures while others wait", module="bench.backlog"),
    Section(name="resizes", title="Resizes on request", module="bench.resizes"),
    Section(name="visits", title="Visit reports and store import", module="bench.visits"),
    Section(name="jobs", title="Concurrent jobs", module="bench.jobs"),
    Section(name="statistics", title="Statistics", module="bench.stats"),
    Section(name="client", title="Command-line client", module="bench.cli_upload"),
    Section(name="batches", title="JSON batches and forms", module="bench.batches"),
    Section(name="resumable", title="Resumable uploads", module="bench.resumable"),
    Section(name="crowd", title="500 concurrent clients", module="bench.concurrent_clients"),
    Section(name="reads", title="Reads", module="bench.reads"),
    Section(name="search", title="Search among a million images", module="bench.search"),
    Section(name="pages", title="Pages of the dashboard among a million images", module="bench.pages"),
)
