"""Uploads of folders: what is sent, what is not, and what an interrupted run leaves for the next one."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Unpack

import pytest

from imagesvc.client import Client, Context, ServerUnavailable
from imagesvc.client.folder_upload import FIRST_READ_BYTES, FolderUpload
from imagesvc.client.journal import Journal
from imagesvc.client.models import LinkOptions
from imagesvc.client.results import FileResult, Listeners
from tests.client.pictures import content, fill
from tests.client.proxy import FaultyProxy, faulty_proxy
from tests.support.service import Service

LARGE = 9 * 1024 * 1024


@pytest.fixture
async def proxy(idle_service: Service) -> AsyncIterator[FaultyProxy]:
    async with faulty_proxy(idle_service.url) as proxy:
        yield proxy


class Sender:
    """Runs folder uploads through one link and the proxy, with one journal."""

    def __init__(self, proxy: FaultyProxy, link: Mapping[str, str], journal: Path | None) -> None:
        self._url = f"{proxy.url}/u/{link['token']}"
        self._journal = journal

    async def run(
        self,
        *named: Path,
        concurrency: int = 2,
        retry_timeout_seconds: float = 20,
        is_dry: bool = False,
        memory_bytes: int = FIRST_READ_BYTES,
    ) -> list[FileResult]:
        results: list[FileResult] = []
        journal, is_complete = Journal(self._journal), False
        try:
            async with Client.through(self._url, retry_timeout_seconds=retry_timeout_seconds) as client:
                upload = FolderUpload(
                    client,
                    Context(),
                    journal,
                    Listeners(on_result=results.append),
                    concurrency=concurrency,
                    is_dry=is_dry,
                    memory_bytes=memory_bytes,
                )
                await upload.send(named)
            is_complete = True
        finally:
            journal.close(is_complete=is_complete)
        return results


async def new_sender(
    service: Service, proxy: FaultyProxy, journal: Path | None = None, **options: Unpack[LinkOptions]
) -> Sender:
    return Sender(proxy, await service.new_link(**options), journal)


def tally(results: list[FileResult]) -> Counter[tuple[str, bool]]:
    return Counter((result.status, result.is_sent) for result in results)


async def test_a_run_after_a_cancelled_one_sends_only_what_is_missing(
    idle_service: Service, proxy: FaultyProxy, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "pictures", 12)
    (folder / "note.jpg").write_text("no picture")
    sender = await new_sender(idle_service, proxy, tmp_path / "journal")
    proxy.hold = lambda uploads: uploads >= 8
    first = asyncio.create_task(sender.run(folder))
    await proxy.held.wait()
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    proxy.hold = lambda _uploads: False
    before = len(proxy.uploads)

    results = await sender.run(folder)

    counts = tally(results)
    assert len(results) == 13
    assert counts[("rejected", False)] + counts[("rejected", True)] == 1
    assert counts[("created", True)] + counts[("created", False)] + counts[("duplicate", False)] == 12
    assert counts[("created", False)] >= 5, "files that the first run sent have its result"
    assert len(proxy.uploads) - before <= 13 - 7
    assert not (tmp_path / "journal").exists(), "a complete run removes its journal"


async def test_the_next_run_resumes_a_large_file(idle_service: Service, proxy: FaultyProxy, tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    path.write_bytes(content(LARGE))
    sender = await new_sender(idle_service, proxy, tmp_path / "journal")
    proxy.cut_after = 6 * 1024 * 1024
    proxy.is_away_after_cut = True
    with pytest.raises(ServerUnavailable):
        await sender.run(path, retry_timeout_seconds=0.5)
    proxy.is_away = proxy.is_away_after_cut = False

    (result,) = await sender.run(path)

    creations = [request for request in proxy.uploads if request.method == "POST"]
    assert (result.status, result.is_sent) == ("created", True)
    assert len(creations) == 1
    assert sum(request.body_bytes for request in proxy.uploads) < LARGE + 2 * 1024 * 1024


async def test_a_link_that_is_used_up_during_a_run_stops_the_requests(
    idle_service: Service, proxy: FaultyProxy, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "pictures", 12)
    sender = await new_sender(idle_service, proxy, max_files=3)

    results = await sender.run(folder)

    assert tally(results) == {("created", True): 3, ("rejected", False): 9}
    assert {result.problem.status for result in results if result.problem} == {410}
    first_410 = min(request.ended_at for request in proxy.uploads if request.status == 410 and request.ended_at)
    # at most one request started before the answer arrived
    assert len(proxy.uploads) <= 5
    assert sum(request.started_at > first_410 for request in proxy.requests) <= 1


async def test_the_same_content_is_sent_once(idle_service: Service, proxy: FaultyProxy, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures", 1)
    data = (folder / "p000.jpg").read_bytes()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (folder / name).write_bytes(data)
    (folder / "d.txt").write_text("no picture")
    (folder / "e.txt").write_text("no picture")
    sender = await new_sender(idle_service, proxy)

    results = await sender.run(folder, concurrency=4)

    assert tally(results) == {("created", True): 1, ("duplicate", False): 3, ("skipped", False): 2}
    assert len(proxy.uploads) == 2


async def test_a_dry_run_checks_and_sends_nothing(idle_service: Service, proxy: FaultyProxy, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures", 3)
    sender = await new_sender(idle_service, proxy)
    await sender.run(folder / "p001.jpg")
    sent = len(proxy.uploads)

    results = await sender.run(folder, is_dry=True)

    assert tally(results) == {("missing", False): 2, ("duplicate", False): 1}
    assert len(proxy.uploads) == sent


async def test_an_unreadable_file_does_not_stop_the_others(
    idle_service: Service, proxy: FaultyProxy, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "pictures", 2)
    (folder / "p000b.jpg").symlink_to("nowhere.jpg")
    sender = await new_sender(idle_service, proxy)

    results = await sender.run(folder)

    assert tally(results) == {("created", True): 2, ("unreadable", False): 1}


async def test_files_beyond_the_memory_budget_wait_for_memory(
    idle_service: Service, proxy: FaultyProxy, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "pictures", 12, size=100_000)
    sender = await new_sender(idle_service, proxy)

    results = await sender.run(folder, concurrency=8, memory_bytes=250_000)

    assert tally(results) == {("created", True): 12}
