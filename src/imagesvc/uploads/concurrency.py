"""Limits concurrent uploads per link and per account, and the memory they use.

A request is counted before its body is read. A request above a limit is refused with ``Retry-After``; only the wait
for memory is queued. The counts are those of one process, because each process protects its own memory.
"""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

from imagesvc.settings import Settings
from imagesvc.uploads.errors import TooManyUploads
from imagesvc.uploads.incoming_file import working_set_bytes
from imagesvc.uploads.memory_budget import MemoryBudget
from imagesvc.uploads.source import UploadSource


class UploadConcurrency:
    """Shared by all ways of uploading."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._active: Counter[UUID] = Counter()
        self._budget = MemoryBudget(
            settings.upload_memory_bytes,
            wait_seconds=settings.upload_memory_wait_seconds,
            max_waiting=settings.max_uploads_waiting,
        )

    @property
    def under_way(self) -> int:
        """The number of admitted requests, including those that wait for memory."""
        return self._active.total()

    @property
    def taken_bytes(self) -> int:
        return self._budget.taken_bytes

    @contextlib.asynccontextmanager
    async def enter(self, source: UploadSource, *, declared_bytes: int | None) -> AsyncIterator[None]:
        """Inside the block, one request may upload files one after the other. Raises TooManyUploads and NoRoom."""
        if source.link is not None:
            counted_id, limit, scope = source.link.id, self._settings.max_uploads_per_link, "through this link"
        else:
            counted_id, limit, scope = source.owner_id, self._settings.max_uploads_per_user, "by this account"
        if self._active[counted_id] >= limit:
            raise TooManyUploads(f"{limit} uploads {scope} are in progress, which is the limit.")
        self._active[counted_id] += 1
        try:
            async with self._budget.take(working_set_bytes(self._settings, declared_bytes)):
                yield
        finally:
            self._active[counted_id] -= 1
            if not self._active[counted_id]:
                del self._active[counted_id]
