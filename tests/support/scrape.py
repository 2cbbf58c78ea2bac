"""Parses a metrics page: values by name and labels."""

from prometheus_client.parser import text_string_to_metric_families

from imagesvc.db import Database
from imagesvc.settings import Settings
from imagesvc.storage.bucket import Storage
from imagesvc.tasks.queue import Queue
from imagesvc.uploads.concurrency import UploadConcurrency
from imagesvc.wiring import Servers, database_gauges, metrics_of_api


class Scrape:
    """One metrics page in the Prometheus text format. ``names`` are the sample names."""

    def __init__(self, text: str) -> None:
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        self.names = frozenset(sample.name for sample in self._samples)
        self._types = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE "))

    def __getitem__(self, name: str) -> float:
        return self.of(name)

    def of(self, name: str, **labels: str) -> float:
        """The sum of all samples that have at least these labels; 0 when there are none."""
        return sum(
            sample.value
            for sample in self._samples
            if sample.name == name and labels.items() <= dict(sample.labels).items()
        )

    def all_names(self) -> set[str]:
        """The sample names of all metrics, including metrics without samples."""
        parts = {"histogram": ("_bucket", "_sum", "_count")}
        return {name + part for name, kind in self._types.items() for part in parts.get(kind, ("",))}

    def labels(self, name: str, label: str) -> set[str]:
        """All values of one label."""
        return {sample.labels[label] for sample in self._samples if sample.name == name and label in sample.labels}


async def page_of(settings: Settings) -> Scrape:
    """The metrics page of a new API with these settings."""
    database = Database(settings)
    async with Storage(settings) as storage, Queue(settings, database) as queue:
        servers = Servers(settings=settings, database=database, storage=storage, queue=queue)
        text = await metrics_of_api(servers, UploadConcurrency(settings), database_gauges(servers)).text()
    await database.close()
    return Scrape(text.decode())
