"""The cores that a process may use, by its affinity and its cgroups."""

import os
from pathlib import Path

import pytest

from imagesvc.cores import usable_cores
from imagesvc.settings import Settings


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))


def cores(tmp_path: Path, own: str, files: dict[str, str]) -> int:
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return usable_cores(cgroups=tmp_path / "cgroup", own_cgroups=tmp_path / "own")


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64),
        ("0::/\n", {"cpu.max": "400000 100000\n"}, 4),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "200000 100000\n", "a/cpu.max": "300000 100000\n"}, 2),
        ("0::/host/path\n", {"cpu.max": "500000 100000\n"}, 5),
        ("0::/../other\n", {"cpu.max": "500000 100000\n"}, 5),
        ("4:memory:/a\n3:cpu,cpuacct:/a\n", {"cpu,cpuacct/a/cpu.cfs_quota_us": "-1\n"}, 64),
        (
            "3:cpu,cpuacct:/a\n",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "600000\n", "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n"},
            6,
        ),
        ("", {}, 64),
        ("0::/\n", {"cpu.max": "nonsense\n"}, 64),
    ],
)
def test_the_lowest_limit_of_all_cgroups_counts(tmp_path: Path, own: str, files: dict[str, str], expected: int) -> None:
    assert cores(tmp_path, own, files) == expected


def test_the_affinity_counts_when_it_is_lower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})

    assert cores(tmp_path, "0::/\n", {"cpu.max": "400000 100000\n"}) == 1


@pytest.mark.parametrize(
    ("cores", "processes", "concurrency"), [(1, 1, 3), (2, 1, 6), (8, 1, 24), (9, 2, 24), (64, 8, 24)]
)
def test_workers_size_themselves_to_the_cores(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, cores: int, processes: int, concurrency: int
) -> None:
    monkeypatch.setattr("imagesvc.settings.usable_cores", lambda: cores)

    sized = Settings.model_validate(settings.model_dump(include=settings.model_fields_set))

    assert (sized.worker_processes, sized.worker_concurrency) == (processes, concurrency)
