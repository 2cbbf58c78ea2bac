"""Runs the sandbox on a stored object and stores the result files under held keys.

A task handler derives first and opens its transaction afterwards. That transaction either takes the keys of the files
over (``loose_objects.take``) or gives them up (``loose_objects.release``). A crash in between leaves held keys, which
the reaper deletes.
"""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import structlog

from imagesvc.db import Database
from imagesvc.metrics.instruments import count_sandbox_run
from imagesvc.processing.contract import (
    MEDIA_TYPE_OF_FORMAT,
    Failed,
    Processed,
    Rejected,
    RenditionFile,
    Resize,
    Work,
)
from imagesvc.processing.facts import Facts
from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from imagesvc.storage import loose_objects
from imagesvc.storage.bucket import ObjectGone, Storage, new_key
from imagesvc.tasks.runner import RetryTask

log = structlog.get_logger(__name__)

_BUFFER_BYTES = 1024 * 1024
MAX_DECODER_ATTEMPTS = 2
"""For failures that usually repeat with the same file: all except a lost sandbox. The second attempt is for a machine
that was short of memory."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A result file in the bucket, under a held key. ``preset`` is ``resize`` for a resize."""

    preset: str
    format: str
    width: int
    height: int
    key: str
    sha256: bytes
    bytes: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """What the sandbox made from one stored object. ``facts`` is None when the request did not ask for them."""

    facts: Facts | None
    files: Sequence[StoredFile]

    @property
    def keys(self) -> list[str]:
        return [file.key for file in self.files]


class SourceMissing(RetryTask):
    """The stored object is not in the bucket. A second attempt would not find it either."""

    def __init__(self, key: str) -> None:
        super().__init__("object-lost", at_most=1, key=key)


class Deriver:
    """Derives files and facts from stored objects. The keys of new files begin with ``key_prefix``."""

    def __init__(
        self, settings: Settings, database: Database, storage: Storage, sandbox: Sandbox, *, key_prefix: str
    ) -> None:
        self._settings = settings
        self._database = database
        self._storage = storage
        self._sandbox = sandbox
        self._key_prefix = key_prefix

    async def derive(self, key: str, request: Work | Resize, *, log_fields: Mapping[str, str]) -> Derived | Rejected:
        """Process the object under ``key``. Returns Rejected when the file itself is at fault.

        ``log_fields`` are added to the log event of a failure. Raises SourceMissing when the object is gone, and
        RetryTask when the sandbox failed.
        """
        async with self._sandbox.scratch() as folder:
            result = await self._run(key, request, folder, log_fields)
            if isinstance(result, Rejected):
                return result
            return Derived(facts=result.facts, files=await self._store(result.renditions))

    async def _run(
        self, key: str, request: Work | Resize, folder: Path, log_fields: Mapping[str, str]
    ) -> Processed | Rejected:
        try:
            await _write_chunks(folder / "original", self._storage.read(key))
        except ObjectGone as error:
            raise SourceMissing(key) from error
        outcome = await self._sandbox.run(request, folder)
        if isinstance(outcome, Failed):
            count_sandbox_run(outcome.reason)
            log.warning("sandbox failed", **log_fields, reason=outcome.reason, detail=outcome.detail)
            max_attempts = None if outcome.reason == "sandbox-lost" else MAX_DECODER_ATTEMPTS
            raise RetryTask(outcome.reason, at_most=max_attempts, key=key)
        count_sandbox_run("rejected" if isinstance(outcome, Rejected) else "processed")
        return outcome

    async def _store(self, files: Sequence[RenditionFile]) -> list[StoredFile]:
        keys, begun = [new_key(self._key_prefix) for _ in files], time.monotonic()
        await loose_objects.hold_at_once(self._database, keys, seconds=self._settings.hold_seconds)
        until = loose_objects.hold_until(self._settings, since=begun)

        bodies = await asyncio.to_thread(lambda: [file.path.read_bytes() for file in files])

        async def store(file: RenditionFile, key: str, body: bytes) -> StoredFile:
            await self._storage.put(key, body, media_type=MEDIA_TYPE_OF_FORMAT[file.format], until=until)
            return StoredFile(
                preset=file.preset,
                format=file.format,
                width=file.width,
                height=file.height,
                key=key,
                sha256=sha256(body).digest(),
                bytes=len(body),
            )

        return list(await asyncio.gather(*map(store, files, keys, bodies)))


async def _write_chunks(path: Path, chunks: AsyncIterator[bytes]) -> None:
    """Each hop to a thread costs more than writing a small file: up to ``_BUFFER_BYTES`` are written by one."""
    buffer: list[bytes] = []
    buffered = 0

    def append() -> None:
        with path.open("ab") as file:
            file.writelines(buffer)

    async for chunk in chunks:
        buffer.append(chunk)
        buffered += len(chunk)
        if buffered >= _BUFFER_BYTES:
            await asyncio.to_thread(append)
            buffer.clear()
            buffered = 0
    await asyncio.to_thread(append)
