"""The metrics page of one process, or of several that share one port.

Processes that share a port write their counters to files in the folder ``PROMETHEUS_MULTIPROC_DIR``, of which every one
of them shows the sums (prometheus_client's multiprocess mode). ``imagesvc serve --processes`` sets the variable.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

MEDIA_TYPE = CONTENT_TYPE_LATEST
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
PUBLISH_SECONDS = 1.0


class MetricsPage:
    """A registry and its page. ``prepare`` is awaited before each scrape. Pages of one process share instruments."""

    def __init__(self, *collectors: Collector, prepare: Callable[[], Awaitable[object]] | None = None) -> None:
        self._prepare = prepare
        self._registry = CollectorRegistry(auto_describe=False)
        self._gauges = [collector for collector in collectors if isinstance(collector, CallbackGauge)]
        if FOLDER_VARIABLE in os.environ:
            MultiProcessCollector(self._registry)  # type: ignore[no-untyped-call]  # registers itself
        else:
            self._registry.register(REGISTRY)
        for collector in (BuildInfo(), *collectors):
            self._registry.register(collector)

    async def text(self) -> bytes:
        """The page in the text format of ``MEDIA_TYPE``."""
        if self._prepare is not None:
            await self._prepare()
        self._publish()
        return generate_latest(self._registry)

    @contextlib.asynccontextmanager
    async def published(self) -> AsyncIterator[None]:
        """Inside the block, the pages of the other processes show the gauges of this one, at most a second old."""
        if FOLDER_VARIABLE not in os.environ:
            yield
            return
        _forget_dead_processes(Path(os.environ[FOLDER_VARIABLE]))

        async def repeat() -> None:
            while True:
                self._publish()
                await asyncio.sleep(PUBLISH_SECONDS)

        publishing = asyncio.create_task(repeat())
        try:
            yield
        finally:
            publishing.cancel()

    def _publish(self) -> None:
        for gauge in self._gauges:
            gauge.publish()


class BuildInfo(Collector):
    """The installed version."""

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("imagesvc_build", "The running version", {"version": version("imagesvc")})


class CallbackGauge(Collector):
    """A gauge whose values are read on each scrape: ``read`` returns them by the values of ``labels``."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: tuple[str, ...],
        read: Callable[[], Mapping[tuple[str, ...], float]],
    ) -> None:
        self._name, self._documentation, self._labels, self._read = name, documentation, labels, read
        self._shared: Gauge | None = None
        if FOLDER_VARIABLE in os.environ:
            self._shared = Gauge(name, documentation, labels, registry=None, multiprocess_mode="livesum")

    def publish(self) -> None:
        """Write the values for the pages of several processes, which show their sum."""
        if self._shared is not None:
            for values, number in self._read().items():
                (self._shared.labels(*values) if values else self._shared).set(number)

    def collect(self) -> Iterator[Metric]:
        if self._shared is not None:
            return
        family = GaugeMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, number in self._read().items():
            family.add_metric(values, number)
        yield family


def _forget_dead_processes(folder: Path) -> None:
    """Remove the gauges of processes that were killed. Their counters stay: a counter never falls."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if not Path(f"/proc/{pid}").exists():
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
