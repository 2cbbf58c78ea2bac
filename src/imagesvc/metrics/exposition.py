"""The metrics page of one process: all instruments, and the collectors passed to it."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from importlib.metadata import version

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

MEDIA_TYPE = CONTENT_TYPE_LATEST


class MetricsPage:
    """A registry and its page. ``prepare`` is awaited before each scrape. Pages of one process share instruments."""

    def __init__(self, *collectors: Collector, prepare: Callable[[], Awaitable[object]] | None = None) -> None:
        self._prepare = prepare
        self._registry = CollectorRegistry(auto_describe=False)
        for collector in (REGISTRY, BuildInfo(), *collectors):
            self._registry.register(collector)

    async def text(self) -> bytes:
        """The page in the text format of ``MEDIA_TYPE``."""
        if self._prepare is not None:
            await self._prepare()
        return generate_latest(self._registry)


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

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, number in self._read().items():
            family.add_metric(values, number)
        yield family
