"""The record of what runs: pid and start time of each part, so that the next run ends what a killed one left behind.

A pid alone is not enough: it may belong to another process by now. Its start time (in clock ticks since boot, field 22
of /proc/<pid>/stat, proc(5)) together with the id of the boot names one process for ever.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 10.0


class Ledger:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, dict[str, Any]] = {}

    def add(self, name: str, pid: int, end_with: signal.Signals, leftovers: Iterable[Path]) -> None:
        self._entries[name] = {
            "pid": pid,
            "born": birth(pid),
            "signal": int(end_with),
            "leftovers": [str(path) for path in leftovers],
        }
        self._save()

    def remove(self, name: str) -> None:
        self._entries.pop(name, None)
        self._save()

    def end_leftovers(self) -> list[str]:
        """End what an earlier run left, wait until it is gone, remove its stale files; returns what was still alive."""
        try:
            left: dict[str, dict[str, Any]] = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return []
        alive = {name: entry for name, entry in left.items() if _is_same(entry)}
        for entry in alive.values():
            _signal(entry, signal.Signals(entry["signal"]))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(_is_same(entry) for entry in alive.values()):
            if time.monotonic() > deadline:
                for entry in alive.values():
                    _signal(entry, signal.SIGKILL)
            time.sleep(0.02)
        for entry in left.values():
            for path in entry["leftovers"]:
                with contextlib.suppress(OSError):
                    os.unlink(path)
        self._save()
        return sorted(alive)

    def _save(self) -> None:
        fresh = self._path.with_name(f"{self._path.name}.new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(json.dumps(self._entries))
        fresh.rename(self._path)


def birth(pid: int) -> str:
    """What tells this process from every other that ever had its pid; empty when there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    if fields[0] in (b"Z", b"X"):
        return ""
    return f"{boot}/{fields[19].decode()}"


def _is_same(entry: dict[str, Any]) -> bool:
    return bool(entry["born"]) and birth(entry["pid"]) == entry["born"]


def _signal(entry: dict[str, Any], how: signal.Signals) -> None:
    if _is_same(entry):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(entry["pid"], how)
