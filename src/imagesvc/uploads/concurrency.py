"""Who may come in now: so many requests through one link and by one account, and as many as there is memory for.

A request goes through before its body is asked for. Whoever is refused is told when to come again: nothing queues up.
The counts are those of one process: each protects its own memory.
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
    """Shared by all ways in."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._under_way: Counter[UUID] = Counter()
        self._budget = MemoryBudget(
            settings.upload_memory_bytes,
            wait_seconds=settings.upload_memory_wait_seconds,
            max_waiting=settings.max_uploads_waiting,
        )

    @property
    def under_way(self) -> int:
        """Requests that are inside, those that wait for memory included."""
        return self._under_way.total()

    @property
    def taken_bytes(self) -> int:
        return self._budget.taken_bytes

    @contextlib.asynccontextmanager
    async def enter(self, source: UploadSource, *, declared_bytes: int | None) -> AsyncIterator[None]:
        """Room for one request whose files come one after the other. Raises TooManyUploads and NoRoom."""
        if source.link is not None:
            who, most, whose = source.link.id, self._settings.max_uploads_per_link, "through this link"
        else:
            who, most, whose = source.owner_id, self._settings.max_uploads_per_user, "by this account"
        if self._under_way[who] >= most:
            raise TooManyUploads(f"{most} uploads {whose} are under way: no more at once.")
        self._under_way[who] += 1
        try:
            async with self._budget.take(working_set_bytes(self._settings, declared_bytes)):
                yield
        finally:
            self._under_way[who] -= 1
            if not self._under_way[who]:
                del self._under_way[who]
