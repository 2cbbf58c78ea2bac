"""What a page of metrics tells, by name and labels."""

from prometheus_client.parser import text_string_to_metric_families


class Scrape:
    """One page in the text format of Prometheus."""

    def __init__(self, text: str) -> None:
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        self.names = frozenset(sample.name for sample in self._samples)
        self.families = frozenset(line.split()[2] for line in text.splitlines() if line.startswith("# TYPE "))

    def __getitem__(self, name: str) -> float:
        return self.of(name)

    def of(self, name: str, **labels: str) -> float:
        """The sum of what has these labels, whatever else it has; 0 when nothing has."""
        return sum(
            sample.value
            for sample in self._samples
            if sample.name == name and labels.items() <= dict(sample.labels).items()
        )

    def labels(self, name: str, label: str) -> set[str]:
        """The values of that label."""
        return {sample.labels[label] for sample in self._samples if sample.name == name and label in sample.labels}
