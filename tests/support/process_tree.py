"""Inspects processes from outside: descendants, survivors, arguments and listening addresses."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

TIMEOUT_SECONDS = 60.0


def wait_until(holds: Callable[[], object], what: str, seconds: float = TIMEOUT_SECONDS) -> None:
    """Wait until ``holds()`` is true. Raises AssertionError with ``what`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.02)


def tree(pid: int) -> list[psutil.Process]:
    """A process and all its descendants."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


def alive(processes: Iterable[psutil.Process]) -> list[str]:
    """The command lines of those that still run. Zombies do not count."""
    left = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                left.append(" ".join(process.cmdline()) or process.name())
    return left


def kill(processes: Iterable[psutil.Process]) -> None:
    """Send SIGKILL to all that still run."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def arguments(processes: Iterable[psutil.Process]) -> str:
    """The command lines of all processes, one per line."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            found.append(" ".join(process.cmdline()))
    return "\n".join(found)


def listening_addresses(processes: Iterable[psutil.Process]) -> set[str]:
    """The IP addresses that the processes listen on."""
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            found |= {
                connection.laddr.ip
                for connection in process.net_connections(kind="inet")
                if connection.status == psutil.CONN_LISTEN
            }
    return found


def files_below(folder: Path) -> list[Path]:
    """All files in the folder and its subfolders."""
    return [Path(where) / name for where, _, names in os.walk(folder) for name in names]
