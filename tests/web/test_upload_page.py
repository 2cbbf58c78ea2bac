"""The upload page in a real browser."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import FilePayload, Page

from tests.support.browser import Visitor
from tests.support.fault_proxy import FaultProxy
from tests.support.images import heic, jpeg
from tests.support.service import Service
from tests.web.conftest import Windows

PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
UNFINISHED = ".waiting, .checking, .sending"
MEGABYTE = 1_000_000


def chosen(name: str, content: bytes, media_type: str = "image/jpeg") -> FilePayload:
    return {"name": name, "mimeType": media_type, "buffer": content}


async def choose(page: Page, *files: FilePayload | Path) -> None:
    await page.locator("#input-files").set_input_files(list(files))  # type: ignore[arg-type]


async def all_ended(page: Page) -> None:
    await page.wait_for_selector(".file")
    await page.wait_for_selector(UNFINISHED, state="detached")


async def states(page: Page) -> dict[str, str]:
    """The state of each file by its name."""
    rows = await page.locator(".file").all()
    return {await row.locator(".name").inner_text(): await row.locator(".state").inner_text() for row in rows}


async def open_link(windows: Windows, link: dict[str, Any], **options: Any) -> Visitor:
    visitor = await windows.new(**options)
    await visitor.open(link["path"])
    return visitor


@pytest.fixture
def big_file(tmp_path: Path) -> Path:
    """A picture of 30 MB: an image with bytes after its end, which decoders ignore."""
    path = tmp_path / "big.jpg"
    path.write_bytes(jpeg(seed=7) + b"\0" * 30 * MEGABYTE)
    return path


async def test_page_says_who_invites_and_what_is_left(windows: Windows, service: Service) -> None:
    link = await service.new_link(label="Stocktaking", max_files=12, max_bytes=30 * MEGABYTE)
    visitor = await open_link(windows, link)
    facts = await visitor.page.locator("#facts").inner_text()
    assert await visitor.page.locator("h1").inner_text() == "Stocktaking"
    assert "12 pictures left" in facts
    assert "30 MB left" in facts


async def test_browser_gets_html_and_other_clients_json(service: Service) -> None:
    link = await service.new_link()
    for accept, expected in (
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("application/json, text/html", "application/json"),
    ):
        answer = await service.anyone.get(link["path"], headers={"Accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (200, expected), accept
        assert "Accept" in answer.headers["vary"]


async def test_page_is_small_private_and_has_a_strict_policy(windows: Windows, service: Service) -> None:
    link = await service.new_link()
    visitor = await windows.new()
    responses: list[Any] = []
    visitor.page.on("response", lambda response: responses.append(response))
    answer = await visitor.open(link["path"])
    await visitor.page.wait_for_selector("#choose")
    sizes = [len(await response.body()) for response in responses]
    assert answer is not None
    headers = answer.headers
    assert sum(sizes) < 60_000
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert "unsafe" not in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]


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


async def test_token_is_in_no_request_of_the_script(windows: Windows, service: Service) -> None:
    link = await service.new_link(label="Fragment")
    visitor = await windows.new()
    await visitor.open(f"/u#{link['token']}")
    await visitor.page.get_by_role("heading", name="Fragment").wait_for()
    await choose(visitor.page, chosen("a.jpg", jpeg(seed=1)))
    await all_ended(visitor.page)
    assert (await states(visitor.page))["a.jpg"].startswith("sent")
    assert [line for line in visitor.requests if link["token"] in line] == []


async def test_fragment_without_a_token_says_what_is_missing(windows: Windows) -> None:
    visitor = await windows.new()
    await visitor.open("/u")
    await visitor.page.get_by_text("This address is not complete").wait_for()


async def test_interrupted_large_file_goes_on_where_it_was(windows: Windows, service: Service, big_file: Path) -> None:
    link = await service.new_link()
    port = int(service.url.rpartition(":")[2])
    async with FaultProxy(("127.0.0.1", port)) as proxy:
        visitor = await windows.new(origin=f"http://127.0.0.1:{proxy.port}")
        await visitor.open(link["path"])
        await visitor.page.wait_for_selector("#choose")
        proxy.cut_after(15 * MEGABYTE)
        await choose(visitor.page, big_file)
        await visitor.page.get_by_text("no connection").wait_for()
        proxy.remove_faults()
        proxy.record()
        await all_ended(visitor.page)
        assert proxy.recorded is not None
        assert len(proxy.recorded) < 29 * MEGABYTE
    assert (await states(visitor.page))["big.jpg"].startswith("sent")


async def test_reload_in_the_middle_goes_on_where_it_was(windows: Windows, service: Service, big_file: Path) -> None:
    link = await service.new_link()
    port = int(service.url.rpartition(":")[2])
    async with FaultProxy(("127.0.0.1", port)) as proxy:
        visitor = await windows.new(origin=f"http://127.0.0.1:{proxy.port}")
        visitor.page.on("dialog", lambda dialog: dialog.accept())
        await visitor.open(link["path"])
        await visitor.page.wait_for_selector("#choose")
        proxy.cut_after(15 * MEGABYTE)
        await choose(visitor.page, big_file)
        await visitor.page.get_by_text("no connection").wait_for()
        proxy.remove_faults()
        await visitor.page.reload()
        await visitor.page.get_by_text("Choose these files again").wait_for()
        assert await visitor.page.locator("#unfinished li").inner_text() == "big.jpg"
        proxy.record()
        await choose(visitor.page, big_file)
        await all_ended(visitor.page)
        assert proxy.recorded is not None
        assert len(proxy.recorded) < 29 * MEGABYTE
    assert await visitor.page.locator("#unfinished").is_hidden()
    assert (await states(visitor.page))["big.jpg"].startswith("sent")


async def test_pause_stops_and_resume_finishes(windows: Windows, service: Service, big_file: Path) -> None:
    link = await service.new_link()
    async with FaultProxy(("127.0.0.1", int(service.url.rpartition(":")[2]))) as proxy:
        visitor = await windows.new(origin=f"http://127.0.0.1:{proxy.port}")
        await visitor.open(link["path"])
        await visitor.page.wait_for_selector("#choose")
        proxy.delay_seconds = 0.02
        await choose(visitor.page, big_file)
        await visitor.page.get_by_text(re.compile(r"sending, [1-9]\d* %")).wait_for()
        await visitor.page.get_by_role("button", name="Pause").click()
        await visitor.page.locator(".file .state", has_text="paused").wait_for()
        proxy.remove_faults()
        await visitor.page.get_by_role("button", name="Go on").click()
        await all_ended(visitor.page)
    assert (await states(visitor.page))["big.jpg"].startswith("sent")


async def test_cancelled_file_ends_its_upload(windows: Windows, service: Service, big_file: Path) -> None:
    link = await service.new_link(max_files=1)
    async with FaultProxy(("127.0.0.1", int(service.url.rpartition(":")[2]))) as proxy:
        visitor = await windows.new(origin=f"http://127.0.0.1:{proxy.port}")
        await visitor.open(link["path"])
        await visitor.page.wait_for_selector("#choose")
        proxy.delay_seconds = 0.02
        await choose(visitor.page, big_file)
        await visitor.page.get_by_text(re.compile(r"sending, [1-9]\d* %")).wait_for()
        async with visitor.page.expect_response(lambda response: response.request.method == "DELETE") as ended:
            await visitor.page.get_by_role("button", name="Cancel big.jpg").click()
        assert (await ended.value).status == 204
    assert await states(visitor.page) == {"big.jpg": "cancelled"}
    assert (await service.owner.get(f"/v1/links/{link['id']}")).json()["reserved_files"] == 0


async def test_busy_service_is_asked_again(windows: Windows, service: Service) -> None:
    link = await service.new_link()
    busy = b"HTTP/1.1 503 x\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with FaultProxy(("127.0.0.1", int(service.url.rpartition(":")[2]))) as proxy:
        visitor = await windows.new(origin=f"http://127.0.0.1:{proxy.port}")
        await visitor.open(link["path"])
        await visitor.page.wait_for_selector("#choose")
        proxy.instead = busy
        proxy.reset_all()
        await choose(visitor.page, chosen("a.jpg", jpeg(seed=1)))
        await visitor.page.get_by_text("the service is busy").wait_for()
        proxy.remove_faults()
        await all_ended(visitor.page)
    assert (await states(visitor.page))["a.jpg"].startswith("sent")


async def test_defects_are_shown_with_what_to_do(windows: Windows, service: Service) -> None:
    visitor = await open_link(windows, await service.new_link())
    await choose(visitor.page, chosen("small.jpg", jpeg(seed=1, size=(64, 48))))
    row = visitor.page.locator(".file.defects")
    await row.wait_for()
    assert "Too small: go closer or send the original file." in await row.locator(".hint").inner_text()
    assert await row.get_by_role("button", name="Take small.jpg again").is_visible()


async def test_heic_is_previewed_by_its_thumbnail(windows: Windows, service: Service) -> None:
    visitor = await open_link(windows, await service.new_link())
    await choose(visitor.page, chosen("phone.heic", heic(seed=1), "image/heic"))
    image = visitor.page.locator(".file .preview img")
    await image.wait_for()
    assert await image.get_attribute("alt") == "Preview of phone.heic"


@pytest.mark.parametrize("count", [500])
async def test_refusing_link_says_why_once(windows: Windows, service: Service, count: int) -> None:
    link = await service.new_link()
    visitor = await open_link(windows, link)
    await visitor.page.wait_for_selector("#choose")
    await service.owner.delete(f"/v1/links/{link['id']}")
    await choose(visitor.page, *(chosen(f"{seed}.jpg", b"\xff\xd8" + bytes([seed % 256])) for seed in range(count)))
    await all_ended(visitor.page)
    assert await visitor.page.get_by_text("This invitation was withdrawn").count() == 1
    assert set((await states(visitor.page)).values()) == {"not sent"}
    assert len(visitor.statuses) <= 4


@pytest.mark.parametrize(
    ("change", "status", "title"),
    [
        ("expired", 410, "This invitation has expired"),
        ("revoked", 410, "This invitation was withdrawn"),
        ("used-up", 410, "This invitation is used up"),
        ("unknown", 401, "This invitation is not valid"),
    ],
)
async def test_closed_link_is_a_friendly_page(
    windows: Windows, service: Service, change: str, status: int, title: str
) -> None:
    link = await service.new_link(max_files=1, expires_in=1 if change == "expired" else 3600)
    path = link["path"] if change != "unknown" else link["path"][:-4]
    await CLOSE[change](service, link)
    visitor = await windows.new(**PHONE)
    answer = await visitor.open(path)
    assert answer is not None
    assert answer.status == status
    assert await visitor.page.locator("h1").inner_text() == title
    assert await visitor.inaccessible() == []


async def _expire(service: Service, link: dict[str, Any]) -> None:
    while (await service.anyone.get(link["path"])).status_code != 410:
        pass


async def _revoke(service: Service, link: dict[str, Any]) -> None:
    await service.owner.delete(f"/v1/links/{link['id']}")


async def _use_up(service: Service, link: dict[str, Any]) -> None:
    await service.anyone.put(f"{link['path']}/a.jpg", content=jpeg(seed=1))


async def _nothing(service: Service, link: dict[str, Any]) -> None:
    pass


CLOSE = {"expired": _expire, "revoked": _revoke, "used-up": _use_up, "unknown": _nothing}


async def test_without_scripts_a_form_sends_the_files(windows: Windows, service: Service, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(seed=1))
    (tmp_path / "b.txt").write_bytes(b"no picture")
    visitor = await open_link(windows, await service.new_link(), java_script_enabled=False)
    await visitor.page.locator("#plain-files").set_input_files([tmp_path / "a.jpg", tmp_path / "b.txt"])
    await visitor.page.get_by_role("button", name="Send").click()
    await visitor.page.get_by_role("heading", name="1 of 2 files sent").wait_for()
    assert await states(visitor.page) == {
        "a.jpg": "sent",
        "b.txt": "not sent: The file is not an image of an accepted format",
    }
    await visitor.page.reload()  # sends the form again
    assert (await states(visitor.page))["a.jpg"] == "already there"
    assert len((await service.owner.get("/v1/images")).json()["items"]) == 1


async def test_fragment_without_scripts_says_what_to_do(windows: Windows, service: Service) -> None:
    visitor = await windows.new(java_script_enabled=False)
    await visitor.open("/u#token")
    assert "needs JavaScript" in await visitor.page.locator("noscript").inner_text()


HOSTILE: Sequence[str] = (
    "<img src=x onerror=alert(1)>.jpg",
    "\u202egpj.exe.jpg",
    "x" * 240 + ".jpg",
    "{name} %(num)s {{ 7*7 }}.jpg",
)


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_filename_is_shown_as_text(windows: Windows, service: Service, name: str) -> None:
    visitor = await open_link(windows, await service.new_link(), **PHONE)
    await choose(visitor.page, chosen(name, jpeg(seed=1)))
    await all_ended(visitor.page)
    shown = await visitor.page.locator(".file .name").text_content()
    assert shown == name
    assert (await visitor.page.locator(".file .state").inner_text()).startswith("sent")
    assert await visitor.overflow() <= 0


async def test_hostile_label_is_shown_as_text(windows: Windows, service: Service) -> None:
    label = "<script>alert(1)</script>\u202e" + "M" * 150
    visitor = await open_link(windows, await service.new_link(label=label), **PHONE)
    assert await visitor.page.locator("h1").text_content() == label
    assert await visitor.overflow() <= 0


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("de-AT", "Bilder auswählen"),
        ("es-MX", "Elegir fotos"),
        ("fr-CA", "Choisir des images"),
        ("ja", "Choose pictures"),
    ],
)
async def test_page_speaks_the_language_of_the_reader(
    windows: Windows, service: Service, locale: str, expected: str
) -> None:
    visitor = await open_link(windows, await service.new_link(), locale=locale)
    await visitor.page.get_by_role("button", name=expected).wait_for()
    assert await visitor.inaccessible() == []


async def test_page_works_by_keyboard_alone(windows: Windows, service: Service) -> None:
    visitor = await open_link(windows, await service.new_link())
    await visitor.page.wait_for_selector("#choose")
    await visitor.page.bring_to_front()
    await visitor.page.keyboard.press("Tab")
    async with visitor.page.expect_file_chooser() as choosing:
        await visitor.page.keyboard.press("Enter")
    await (await choosing.value).set_files([chosen("a.jpg", jpeg(seed=1, size=(1600, 1200)))])
    await all_ended(visitor.page)
    assert (await states(visitor.page))["a.jpg"].startswith("sent")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_page_is_accessible_in_light_and_dark(windows: Windows, service: Service, scheme: str) -> None:
    visitor = await open_link(windows, await service.new_link(label="Stocktaking"), color_scheme=scheme)
    await visitor.page.wait_for_selector("#choose")
    await choose(visitor.page, chosen("a.jpg", jpeg(seed=1, size=(64, 48))), chosen("b.jpg", b"x"))
    await visitor.page.locator(".defects").wait_for()
    assert await visitor.inaccessible() == []
