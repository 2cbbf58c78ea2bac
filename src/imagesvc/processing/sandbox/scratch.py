"""Folders in memory for originals on their way through the sandbox, which no killed worker leaves behind for long.

A room is one process's folder, held by a lock that the kernel releases when the process ends, however it ends. Opening
a room removes the rooms of this user whose lock is free.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio.to_thread

_MEMORY = Path("/dev/shm")  # noqa: S108 -- checked for size; names in it are random and made with mode 0700
_ROOM, _UNLOCKED = "imagesvc-scratch-", "imagesvc-opening-"
_ABANDONED_SECONDS = 3_600


def default_parent(needed_bytes: int) -> Path:
    """Memory where there is enough of it, else the folder for temporary files."""
    with suppress(OSError):
        space = os.statvfs(_MEMORY)
        if os.access(_MEMORY, os.W_OK) and space.f_bavail * space.f_frsize >= needed_bytes:
            return _MEMORY
    return Path(tempfile.gettempdir())


class Room:
    """Make with :meth:`open`; :meth:`close` removes it with everything in it."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def open(cls, parent: Path) -> "Room":
        remove_abandoned(parent)
        made = Path(tempfile.mkdtemp(prefix=_UNLOCKED, dir=parent))
        lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
        # only now by the name that others look for: a room by that name is locked or abandoned, never just being made
        path = made.rename(parent / made.name.replace(_UNLOCKED, _ROOM))
        return cls(path, lock)

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    @asynccontextmanager
    async def folder(self) -> AsyncIterator[Path]:
        """A folder of mode 0700, removed at the end whatever happened."""
        path = Path(tempfile.mkdtemp(dir=self.path))
        try:
            yield path
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(lambda: shutil.rmtree(path, ignore_errors=True))


def remove_abandoned(parent: Path) -> None:
    for path in parent.glob(f"{_ROOM}*"):
        with suppress(OSError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.fstat(lock).st_uid == os.geteuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)
    for path in parent.glob(f"{_UNLOCKED}*"):
        with suppress(OSError):
            seen = path.lstat()
            if seen.st_uid == os.geteuid() and time.time() - seen.st_mtime > _ABANDONED_SECONDS:
                path.rmdir()
