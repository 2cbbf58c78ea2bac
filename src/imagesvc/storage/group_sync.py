"""Syncs a file system once for all writes of a moment (group commit).

An S3 server on the same machine that answers before its files are on disk would lose acknowledged pictures in a power
cut. SeaweedFS is one. It has written to its files when it answers, so that a sync of their file system that begins
after the answer makes the object and its index entries durable.
"""

import asyncio
import ctypes
import os
from collections.abc import Callable
from typing import Self

_libc = ctypes.CDLL(None, use_errno=True)


class GroupSync:
    """``async with`` opens the folder. ``sync`` replaces the system call, for tests."""

    def __init__(self, folder: str, *, sync: Callable[[int], None] | None = None) -> None:
        self._folder = folder
        self._sync = sync or sync_file_system
        self._descriptor = -1
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Raises OSError when the folder cannot be opened."""
        self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for task in (self._running, self._next):
            if task is not None:
                await asyncio.wait((task,))
        os.close(self._descriptor)

    async def wait(self) -> None:
        """Return when everything that was written before the call is on disk. Raises OSError when it is not.

        A sync that is running may have begun before the write, so this waits for the one after it.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._run_after(self._running))
            # retrieved, or asyncio would log the error of a sync whose callers were all cancelled
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._next)

    async def _run_after(self, running: asyncio.Task[None] | None) -> None:
        if running is not None:
            await asyncio.wait((running,))
        self._running, self._next = self._next, None
        await asyncio.to_thread(self._sync, self._descriptor)


def sync_file_system(descriptor: int) -> None:
    """Write everything of the file system of an open file to disk (Linux). Raises OSError."""
    if _libc.syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
