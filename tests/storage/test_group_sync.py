"""One sync serves all writes of a moment, and never a write that it may have begun before."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from imagesvc.settings import Settings
from imagesvc.storage.bucket import Storage, StorageAway, new_key
from imagesvc.storage.group_sync import GroupSync, sync_file_system
from tests.support.processes import until


class SlowDisk:
    """Each sync lasts until it is released. ``begun`` holds what had been written when each began."""

    def __init__(self) -> None:
        self.written: list[int] = []
        self.begun: list[list[int]] = []
        self.fails = False
        self._release = threading.Semaphore(0)

    def sync(self, descriptor: int) -> None:
        self.begun.append(list(self.written))
        self._release.acquire()
        if self.fails:
            raise OSError(5, "Input/output error")

    def release(self) -> None:
        self._release.release()

    async def until_begun(self, count: int) -> None:
        async def is_begun() -> bool:
            return len(self.begun) == count

        await until(is_begun, seconds=10)


@pytest.fixture
def disk() -> SlowDisk:
    return SlowDisk()


@pytest.fixture
async def group(disk: SlowDisk, tmp_path: Path) -> AsyncIterator[GroupSync]:
    async with GroupSync(str(tmp_path), sync=disk.sync) as opened:
        yield opened


async def test_a_write_waits_for_a_sync_that_begins_after_it_and_shares_it(disk: SlowDisk, group: GroupSync) -> None:
    async def write(number: int) -> int:
        disk.written.append(number)
        await group.wait()
        return next(n for n, seen in enumerate(disk.begun) if number in seen)

    first = asyncio.create_task(write(0))
    await disk.until_begun(1)
    others = [asyncio.create_task(write(number)) for number in range(1, 6)]
    await asyncio.sleep(0)
    disk.release()
    assert await first == 0
    assert not any(other.done() for other in others)
    await disk.until_begun(2)
    disk.release()

    assert await asyncio.gather(*others) == [1] * 5
    assert len(disk.begun) == 2


async def test_a_cancelled_write_does_not_cancel_the_sync_of_the_others(disk: SlowDisk, group: GroupSync) -> None:
    cancelled, kept = asyncio.create_task(group.wait()), asyncio.create_task(group.wait())
    await disk.until_begun(1)
    cancelled.cancel()
    disk.release()

    await kept
    assert (await asyncio.gather(cancelled, return_exceptions=True))[0].__class__ is asyncio.CancelledError


async def test_a_sync_that_fails_fails_its_writes_and_not_the_next_ones(disk: SlowDisk, group: GroupSync) -> None:
    disk.fails = True
    failing = [asyncio.create_task(group.wait()) for _ in range(3)]
    await disk.until_begun(1)
    disk.release()
    failed = await asyncio.gather(*failing, return_exceptions=True)
    disk.fails = False
    disk.release()

    await group.wait()
    assert [type(error) for error in failed] == [OSError] * 3


async def test_a_write_that_cannot_be_synced_is_a_storage_that_is_away(settings: Settings, tmp_path: Path) -> None:
    synced = settings.model_copy(update={"s3_sync_folder": str(tmp_path)})

    async with Storage(synced) as storage:
        key = new_key("o")
        await storage.put(key, b"x", media_type="image/jpeg", until=float("inf"))
        assert storage._sync is not None
        os.close(storage._sync._descriptor)
        with pytest.raises(StorageAway):
            await storage.put(key, b"x", media_type="image/jpeg", until=float("inf"))
        storage._sync._descriptor = os.open(tmp_path, os.O_RDONLY)


async def test_a_folder_that_does_not_exist_is_found_at_the_start(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(StorageAway):
        async with Storage(settings.model_copy(update={"s3_sync_folder": str(tmp_path / "missing")})):
            pass


def test_the_system_call_reports_its_errors() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        sync_file_system(-1)
