"""How many cores this process may use: those of its CPU affinity, within the limits of its cgroups (Linux)."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def usable_cores(*, cgroups: Path = CGROUPS, own_cgroups: Path = OWN_CGROUPS) -> int:
    """At least 1. A container that is limited to 1.5 cores gets 2."""
    limits = [math.ceil(limit) for limit in _limits(cgroups, own_cgroups)]
    return max(1, min([len(os.sched_getaffinity(0)), *limits]))


def _limits(cgroups: Path, own_cgroups: Path) -> Iterator[float]:
    """The limit, in cores, of each cgroup from that of this process up to the root; in both versions of cgroups."""
    for line in _text(own_cgroups).splitlines():
        _, controllers, own = line.split(":", 2)
        root = cgroups if not controllers else cgroups / controllers
        if controllers and "cpu" not in controllers.split(","):
            continue
        # in a container, the folders are often those of the container, whatever the path says
        folder = root / own.lstrip("/")
        for group in (folder, *folder.parents) if folder.is_relative_to(root) else (root,):
            if not group.is_relative_to(root):
                break
            quota, period = _quota(group)
            if quota > 0 and period > 0:
                yield quota / period


def _quota(group: Path) -> tuple[int, int]:
    """Microseconds of CPU in each period, and the period; 0 or -1 when there is no limit."""
    first, _, second = _text(group / "cpu.max").partition(" ")
    if not first:
        first, second = _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")
    try:
        return int(first), int(second)
    except ValueError:  # "max", or no such file
        return 0, 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
