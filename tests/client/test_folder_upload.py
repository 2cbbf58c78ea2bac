"""Whole folders: what is sent, what is not, and what an interrupted run leaves for the next one."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from imagesvc.client import Client, Context, ServerAway
from imagesvc.client.folder_upload import Run
from imagesvc.client.journal import Journal
from imagesvc.client.results import Listeners, Outcome
from tests.client.pictures import content, fill
from tests.client.proxy import Line, line_to
from tests.support.service import Service

LARGE = 9 * 1024 * 1024


@pytest.fixture
async def line(idle_service: Service) -> AsyncIterator[Line]:
    async with line_to(idle_service.url) as line:
        yield line


class Sender:
    """Runs through one link over that line, with one journal."""

    def __init__(self, line: Line, link: dict[str, Any], journal: Path | None) -> None:
        self._url = f"{line.url}/u/{link['token']}"
        self._journal = journal

    async def run(
        self, *named: Path, concurrency: int = 2, patience_seconds: float = 20, **wanted: Any
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        journal, is_done = Journal(self._journal), False
        try:
            async with Client.through(self._url, patience_seconds=patience_seconds) as client:
                listeners = Listeners(on_outcome=outcomes.append)
                run = Run(client, Context(), journal, listeners, concurrency=concurrency, **wanted)
                await run.send(named)
            is_done = True
        finally:
            journal.close(is_done=is_done)
        return outcomes


async def sender(service: Service, line: Line, journal: Path | None = None, **wanted: Any) -> Sender:
    return Sender(line, await service.new_link(**wanted), journal)


def tally(outcomes: list[Outcome]) -> Counter[tuple[str, bool]]:
    return Counter((outcome.status, outcome.is_sent) for outcome in outcomes)


async def test_a_run_that_was_cancelled_goes_on_and_sends_only_what_is_missing(
    idle_service: Service, line: Line, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "pictures", 12)
    (folder / "note.jpg").write_text("no picture")
    sending = await sender(idle_service, line, tmp_path / "journal")
    line.hold = lambda uploads: uploads >= 8
    first = asyncio.create_task(sending.run(folder))
    await line.held.wait()
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    line.hold = lambda _uploads: False
    before = len(line.uploads)

    outcomes = await sending.run(folder)

    counts = tally(outcomes)
    assert len(outcomes) == 13
    assert counts[("rejected", False)] + counts[("rejected", True)] == 1
    assert counts[("created", True)] + counts[("created", False)] + counts[("duplicate", False)] == 12
    assert counts[("created", False)] >= 5, "what the first run has sent is told as it told it"
    assert len(line.uploads) - before <= 13 - 7
    assert not (tmp_path / "journal").exists(), "there is nothing left to go on with"


async def test_a_large_file_goes_on_in_the_next_run(idle_service: Service, line: Line, tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    path.write_bytes(content(LARGE))
    sending = await sender(idle_service, line, tmp_path / "journal")
    line.cut_after = 6 * 1024 * 1024
    line.is_away_after_cut = True
    with pytest.raises(ServerAway):
        await sending.run(path, patience_seconds=0.5)
    line.is_away = line.is_away_after_cut = False

    (outcome,) = await sending.run(path)

    creations = [request for request in line.uploads if request.method == "POST"]
    assert (outcome.status, outcome.is_sent) == ("created", True)
    assert len(creations) == 1
    assert sum(request.body_bytes for request in line.uploads) < LARGE + 2 * 1024 * 1024


async def test_a_link_that_is_used_up_in_the_middle_ends_the_sending(
    idle_service: Service, line: Line, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "pictures", 12)
    sending = await sender(idle_service, line, max_files=3)

    outcomes = await sending.run(folder)

    assert tally(outcomes) == {("created", True): 3, ("rejected", False): 9}
    assert {outcome.problem.status for outcome in outcomes if outcome.problem} == {410}
    first_410 = min(request.ended_at for request in line.uploads if request.status == 410 and request.ended_at)
    # one that had begun before the answer was there
    assert len(line.uploads) <= 5
    assert sum(request.began_at > first_410 for request in line.requests) <= 1


async def test_the_same_content_is_sent_once(idle_service: Service, line: Line, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures", 1)
    data = (folder / "p000.jpg").read_bytes()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (folder / name).write_bytes(data)
    (folder / "d.txt").write_text("no picture")
    (folder / "e.txt").write_text("no picture")
    sending = await sender(idle_service, line)

    outcomes = await sending.run(folder, concurrency=4)

    assert tally(outcomes) == {("created", True): 1, ("duplicate", False): 3, ("rejected", False): 2}
    assert len(line.uploads) == 2


async def test_a_dry_run_asks_and_sends_nothing(idle_service: Service, line: Line, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures", 3)
    sending = await sender(idle_service, line)
    await sending.run(folder / "p001.jpg")
    sent = len(line.uploads)

    outcomes = await sending.run(folder, is_dry=True)

    assert tally(outcomes) == {("missing", False): 2, ("duplicate", False): 1}
    assert len(line.uploads) == sent


async def test_an_unreadable_file_harms_no_other(idle_service: Service, line: Line, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures", 2)
    (folder / "p000b.jpg").symlink_to("nowhere.jpg")
    sending = await sender(idle_service, line)

    outcomes = await sending.run(folder)

    assert tally(outcomes) == {("created", True): 2, ("unreadable", False): 1}


async def test_files_beyond_the_memory_budget_wait_for_room(idle_service: Service, line: Line, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures", 12, size=100_000)
    sending = await sender(idle_service, line)

    outcomes = await sending.run(folder, concurrency=8, memory_bytes=250_000)

    assert tally(outcomes) == {("created", True): 12}
