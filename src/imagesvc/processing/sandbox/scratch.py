"""Folders, in memory where possible, for the files of images in the sandbox. Those of killed workers are removed.

Each process has one scratch folder and holds a lock on it. The kernel releases the lock when the process ends, even if
it is killed. Opening a scratch folder removes those of the same user whose lock is free.
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

_MEMORY = Path("/dev/shm")  # noqa: S108 -- its free space is checked; folders have random names and mode 0700
_LOCKED, _UNLOCKED = "imagesvc-scratch-", "imagesvc-opening-"
_ABANDONED_SECONDS = 3_600


def default_parent(needed_bytes: int) -> Path:
    """The memory file system if it has ``needed_bytes`` free, otherwise the folder for temporary files."""
    with suppress(OSError):
        space = os.statvfs(_MEMORY)
        if os.access(_MEMORY, os.W_OK) and space.f_bavail * space.f_frsize >= needed_bytes:
            return _MEMORY
    return Path(tempfile.gettempdir())


class ScratchFolder:
    """The scratch folder of this process. :meth:`open` creates it; :meth:`close` removes it and its content."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def open(cls, parent: Path) -> "ScratchFolder":
        remove_abandoned(parent)
        made = Path(tempfile.mkdtemp(prefix=_UNLOCKED, dir=parent))
        lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
        # renamed only after it is locked, so that other processes find no folder that is still being created
        path = made.rename(parent / made.name.replace(_UNLOCKED, _LOCKED))
        return cls(path, lock)

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    @asynccontextmanager
    async def subfolder(self) -> AsyncIterator[Path]:
        """A folder of mode 0700 for one image, always removed at the end."""
        path = Path(tempfile.mkdtemp(dir=self.path))
        try:
            yield path
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(lambda: shutil.rmtree(path, ignore_errors=True))


def remove_abandoned(parent: Path) -> None:
    for path in parent.glob(f"{_LOCKED}*"):
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
            status = path.lstat()
            if status.st_uid == os.geteuid() and time.time() - status.st_mtime > _ABANDONED_SECONDS:
                path.rmdir()
