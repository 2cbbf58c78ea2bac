"""Records each child process by pid and start time, so that the next run can end what a killed run left behind.

A pid alone does not suffice: another process may have it by then. The start time (in clock ticks since boot, field 22
of /proc/<pid>/stat, proc(5)) together with the id of the boot identifies one process for ever.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

KILL_AFTER_SECONDS = 10.0
POLL_SECONDS = 0.02


class ProcessEntry(TypedDict):
    """One process in the registry's file. ``born`` is its `process_identity`; ``leftovers`` are files to remove."""

    pid: int
    born: str
    signal: int
    leftovers: list[str]


class ProcessRegistry:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, ProcessEntry] = {}

    def add(self, name: str, pid: int, stop_signal: signal.Signals, leftovers: Iterable[Path]) -> None:
        self._entries[name] = {
            "pid": pid,
            "born": process_identity(pid),
            "signal": int(stop_signal),
            "leftovers": [str(path) for path in leftovers],
        }
        self._save()

    def remove(self, name: str) -> None:
        self._entries.pop(name, None)
        self._save()

    def stop_orphans(self) -> list[str]:
        """Stop the processes that an earlier run left and remove their stale files. Returns the names of those alive.

        Blocks until they have ended; after ten seconds they are killed.
        """
        try:
            left: dict[str, ProcessEntry] = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return []
        alive = {name: entry for name, entry in left.items() if _is_running(entry)}
        for entry in alive.values():
            _send_signal(entry, signal.Signals(entry["signal"]))
        deadline = time.monotonic() + KILL_AFTER_SECONDS
        while any(_is_running(entry) for entry in alive.values()):
            if time.monotonic() > deadline:
                for entry in alive.values():
                    _send_signal(entry, signal.SIGKILL)
            time.sleep(POLL_SECONDS)
        for entry in left.values():
            for path in entry["leftovers"]:
                with contextlib.suppress(OSError):
                    os.unlink(path)
        self._save()
        return sorted(alive)

    def _save(self) -> None:
        """Replace the file atomically: a crash leaves the old or the new one."""
        fresh = self._path.with_name(f"{self._path.name}.new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(json.dumps(self._entries))
        fresh.rename(self._path)


def process_identity(pid: int) -> str:
    """Distinguishes this process from all others that have had its pid; empty when there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    if fields[0] in (b"Z", b"X"):
        return ""
    return f"{boot_id}/{fields[19].decode()}"


def _is_running(entry: ProcessEntry) -> bool:
    return bool(entry["born"]) and process_identity(entry["pid"]) == entry["born"]


def _send_signal(entry: ProcessEntry, number: signal.Signals) -> None:
    if _is_running(entry):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(entry["pid"], number)
