"""What can be measured: one line here and one module for each section of docs/performance.md."""

import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.servers import Servers

Measure = Callable[[Servers], Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """``title`` heads the section where the document has no place for it yet."""

    name: str
    title: str
    module: str

    def load(self) -> Measure:
        measure: Measure = importlib.import_module(self.module).measure
        return measure


SECTIONS = (
    Section(name="uploads", title="Taking files in", module="bench.uploads"),
    Section(name="processing", title="Processing one picture", module="bench.processing"),
    Section(name="ready", title="From the answer to `ready`", module="bench.ready"),
    Section(name="resizes", title="Resizes on request", module="bench.resizes"),
    Section(name="visits", title="Visits", module="bench.visits"),
    Section(name="jobs", title="Jobs side by side", module="bench.jobs"),
    Section(name="statistics", title="Statistics", module="bench.counts"),
    Section(name="client", title="The command-line client", module="bench.client"),
    Section(name="batches", title="JSON batches and forms", module="bench.batches"),
    Section(name="resumable", title="Resumable uploads", module="bench.resumable"),
    Section(name="crowd", title="Five hundred clients at once", module="bench.crowd"),
    Section(name="reads", title="Reading", module="bench.reads"),
    Section(name="search", title="Searching a million images", module="bench.search"),
)
