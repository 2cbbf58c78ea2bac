"""The upload page in a real browser: how it sends files over bad networks."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.support.fault_proxy import FaultProxy
from tests.support.images import jpeg
from tests.support.service import Service
from tests.web.conftest import Windows
from tests.web.uploading import MEGABYTE, PHONE, all_ended, choose, chosen, open_link, states

PERCENT = re.compile(r"sending, [1-9]\d* %")
BUSY = b"HTTP/1.1 503 x\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture
def big_file(tmp_path: Path) -> Path:
    """A picture of 30 MB: an image with bytes after its end, which decoders ignore."""
    path = tmp_path / "big.jpg"
    path.write_bytes(jpeg(seed=7) + b"\0" * 30 * MEGABYTE)
    return path


@dataclass(kw_only=True)
class Line:
    """The page of a link for one file, opened through a proxy that injects faults."""

    proxy: FaultProxy
    page: Page
    link_id: str

    @property
    def sent_bytes(self) -> int:
        """What the browser has sent since ``proxy.record``."""
        assert self.proxy.recorded is not None
        return len(self.proxy.recorded)


@pytest.fixture
async def line(windows: Windows, service: Service) -> AsyncIterator[Line]:
    link = await service.new_link(max_files=1)
    async with FaultProxy(("127.0.0.1", int(service.url.rpartition(":")[2]))) as proxy:
        visitor = await windows.new(origin=f"http://127.0.0.1:{proxy.port}")
        await visitor.open(link["path"])
        await visitor.page.wait_for_selector("#choose")
        yield Line(proxy=proxy, page=visitor.page, link_id=link["id"])


async def cut_in_the_middle(line: Line, file: Path) -> None:
    """Choose a file, and lose the network after half of it."""
    line.proxy.cut_after(15 * MEGABYTE)
    await choose(line.page, file)
    await line.page.get_by_text("no connection").wait_for()


async def test_many_files_with_one_bad_one(windows: Windows, service: Service) -> None:
    visitor = await open_link(windows, await service.new_link(), **PHONE)
    files = [chosen(f"{seed}.jpg", jpeg(seed=seed, size=(1600, 1200))) for seed in range(8)]
    await choose(visitor.page, *files, chosen("notes.jpg", b"no picture"))
    await all_ended(visitor.page)
    await visitor.page.wait_for_selector(".processing", state="detached")
    found = await states(visitor.page)
    assert found.pop("notes.jpg") == "not sent: not a picture of an accepted format"
    assert all(state.startswith("sent") for state in found.values()), found
    assert len((await service.owner.get("/v1/images")).json()["items"]) == 8
    await visitor.page.get_by_text("8 of 9 files are done, 1 were not sent.").wait_for()
    assert await visitor.inaccessible() == []
    assert await visitor.overflow() <= 0


async def test_small_files_are_asked_for_in_one_request(windows: Windows, service: Service) -> None:
    visitor = await open_link(windows, await service.new_link())
    await choose(visitor.page, *(chosen(f"{seed}.jpg", jpeg(seed=seed)) for seed in range(5)))
    await all_ended(visitor.page)
    assert visitor.requests.count("POST /u/-/check") == 1


async def test_file_that_was_sent_is_not_sent_again(windows: Windows, service: Service) -> None:
    visitor = await open_link(windows, await service.new_link())
    await choose(visitor.page, chosen("a.jpg", jpeg(seed=1)))
    await all_ended(visitor.page)
    await visitor.page.reload()
    await choose(visitor.page, chosen("b.jpg", jpeg(seed=1)), chosen("c.jpg", jpeg(seed=2)))
    await all_ended(visitor.page)
    found = await states(visitor.page)
    assert found["b.jpg"] == "already there"
    assert found["c.jpg"].startswith("sent")
    assert "PUT /u/-/b.jpg" not in visitor.requests


async def test_interrupted_large_file_goes_on_where_it_was(line: Line, big_file: Path) -> None:
    await cut_in_the_middle(line, big_file)
    line.proxy.remove_faults()
    line.proxy.record()
    await all_ended(line.page)
    assert line.sent_bytes < 29 * MEGABYTE
    assert (await states(line.page))["big.jpg"].startswith("sent")


async def test_reload_in_the_middle_goes_on_where_it_was(line: Line, big_file: Path) -> None:
    line.page.on("dialog", lambda dialog: dialog.accept())
    await cut_in_the_middle(line, big_file)
    line.proxy.remove_faults()
    await line.page.reload()
    await line.page.get_by_text("Choose these files again").wait_for()
    assert await line.page.locator("#unfinished li").inner_text() == "big.jpg"
    line.proxy.record()
    await choose(line.page, big_file)
    await all_ended(line.page)
    assert line.sent_bytes < 29 * MEGABYTE
    assert await line.page.locator("#unfinished").is_hidden()
    assert (await states(line.page))["big.jpg"].startswith("sent")


async def test_unfinished_uploads_can_be_forgotten(line: Line, big_file: Path) -> None:
    line.page.on("dialog", lambda dialog: dialog.accept())
    await cut_in_the_middle(line, big_file)
    line.proxy.remove_faults()
    await line.page.reload()
    async with line.page.expect_response(lambda response: response.request.method == "DELETE") as ended:
        await line.page.get_by_role("button", name="Forget them").click()
    assert (await ended.value).status == 204
    await line.page.reload()
    await line.page.wait_for_selector("#choose")
    assert await line.page.locator("#unfinished").is_hidden()


async def test_pause_stops_and_resume_finishes(line: Line, big_file: Path) -> None:
    line.proxy.delay_seconds = 0.02
    await choose(line.page, big_file)
    await line.page.get_by_text(PERCENT).wait_for()
    await line.page.get_by_text(re.compile(r"MB of 30 MB, .+/s, .+ left")).wait_for()
    await line.page.get_by_role("button", name="Pause").click()
    await line.page.locator(".file .state", has_text="paused").wait_for()
    line.proxy.remove_faults()
    await line.page.get_by_role("button", name="Go on").click()
    await all_ended(line.page)
    assert (await states(line.page))["big.jpg"].startswith("sent")


async def test_cancelled_file_ends_its_upload(line: Line, service: Service, big_file: Path) -> None:
    line.proxy.delay_seconds = 0.02
    await choose(line.page, big_file)
    await line.page.get_by_text(PERCENT).wait_for()
    async with line.page.expect_response(lambda response: response.request.method == "DELETE") as ended:
        await line.page.get_by_role("button", name="Cancel big.jpg").click()
    assert (await ended.value).status == 204
    assert await states(line.page) == {"big.jpg": "cancelled"}
    assert (await service.owner.get(f"/v1/links/{line.link_id}")).json()["reserved_files"] == 0


async def test_busy_service_is_asked_again(line: Line) -> None:
    line.proxy.instead = BUSY
    line.proxy.reset_all()
    await choose(line.page, chosen("a.jpg", jpeg(seed=1)))
    await line.page.get_by_text("the service is busy").wait_for()
    line.proxy.remove_faults()
    await all_ended(line.page)
    assert (await states(line.page))["a.jpg"].startswith("sent")


async def test_file_of_a_service_that_stays_busy_can_be_tried_again(line: Line) -> None:
    line.proxy.instead = BUSY
    line.proxy.reset_all()
    await choose(line.page, chosen("a.jpg", jpeg(seed=1)))
    await line.page.get_by_text("not sent: the service answered 503").wait_for()
    line.proxy.remove_faults()
    await line.page.get_by_role("button", name="Try a.jpg again").click()
    await line.page.locator(".processing, .ready, .defects").wait_for()


async def test_without_webcrypto_files_are_sent_unasked(windows: Windows, service: Service) -> None:
    visitor = await windows.new()
    await visitor.page.add_init_script("Object.defineProperty(globalThis, 'crypto', {value: {}})")
    await visitor.open((await service.new_link())["path"])
    await choose(visitor.page, chosen("a.jpg", jpeg(seed=1)))
    await all_ended(visitor.page)
    assert (await states(visitor.page))["a.jpg"].startswith("sent")
    assert "POST /u/-/check" not in visitor.requests


async def test_refusing_link_says_why_once(windows: Windows, service: Service) -> None:
    link = await service.new_link()
    visitor = await open_link(windows, link)
    await visitor.page.wait_for_selector("#choose")
    await service.owner.delete(f"/v1/links/{link['id']}")
    await choose(visitor.page, *(chosen(f"{seed}.jpg", b"\xff\xd8" + bytes([seed % 256])) for seed in range(500)))
    await all_ended(visitor.page)
    assert await visitor.page.get_by_text("This invitation was withdrawn").count() == 1
    assert set((await states(visitor.page)).values()) == {"not sent"}
    assert len(visitor.statuses) <= 4
