"""Describes the machine and its load: figures mean nothing without them, and less on a busy machine."""

import datetime as dt
import os
import platform
from pathlib import Path


def run_description(section: str) -> str:
    """One line of Markdown: command, date, hardware, versions and load. It does not identify the machine's owner."""
    today = dt.datetime.now(dt.UTC).date()
    machine = f"{len(os.sched_getaffinity(0))} cores of {_processor()}, {_memory_gib()} GiB, Linux {_kernel()}"
    load = f"load {os.getloadavg()[0]:.1f} at the start"
    arguments = "--beside PATH" if section == "beside" else f"--only {section}"
    return f"*`python -m bench {arguments}` · {today} · {machine}, Python {platform.python_version()} · {load}*"


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
