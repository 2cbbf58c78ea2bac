"""Under which circumstances figures were found: they mean nothing without, and less on a busy machine."""

import datetime as dt
import os
import platform
from pathlib import Path


def circumstances(section: str) -> str:
    """One line of Markdown: what makes the figures, when, and on what. Nothing that tells whose machine it is."""
    today = dt.datetime.now(dt.UTC).date()
    on = f"{len(os.sched_getaffinity(0))} cores of {_processor()}, {_memory_gib()} GiB, Linux {_kernel()}"
    load = f"load {os.getloadavg()[0]:.1f} when it began"
    return f"*`python -m bench --only {section}` · {today} · {on}, Python {platform.python_version()} · {load}*"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return " ".join(value.split())
    return platform.machine()


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _kernel() -> str:
    return ".".join(platform.release().split("-")[0].split(".")[:2])
