"""The upload page in a real browser: what it shows."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import FileChooser

from tests.support.images import heic, jpeg
from tests.support.processes import until
from tests.support.service import Service
from tests.web.conftest import Windows
from tests.web.uploading import MEGABYTE, PHONE, all_ended, choose, chosen, open_link, states


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
    async def is_expired() -> bool:
        return (await service.anyone.get(link["path"])).status_code == 410

    await until(is_expired)


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
    "x" * 4000 + ".jpg",
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


CHOOSE_BY = {
    "paste": "event = new ClipboardEvent('paste', {clipboardData: transfer})",
    "drop": "event = new DragEvent('drop', {dataTransfer: transfer, cancelable: true})",
}


@pytest.mark.parametrize("way", CHOOSE_BY)
async def test_pictures_can_be_pasted_and_dropped(windows: Windows, service: Service, way: str) -> None:
    visitor = await open_link(windows, await service.new_link())
    await visitor.page.wait_for_selector("#choose")
    await visitor.page.evaluate(
        f"""(bytes) => {{
            const transfer = new DataTransfer();
            let event;
            transfer.items.add(new File([new Uint8Array(bytes)], "a.jpg", {{type: "image/jpeg"}}));
            {CHOOSE_BY[way]};
            dispatchEvent(event);
        }}""",
        list(jpeg(seed=1, size=(64, 48))),
    )
    await all_ended(visitor.page)
    assert (await states(visitor.page))["a.jpg"].startswith("sent")


async def test_pictures_of_a_folder_are_sent(windows: Windows, service: Service, tmp_path: Path) -> None:
    (tmp_path / "shop" / "aisle").mkdir(parents=True)
    (tmp_path / "shop" / "a.jpg").write_bytes(jpeg(seed=1))
    (tmp_path / "shop" / "aisle" / "b.jpg").write_bytes(jpeg(seed=2))
    (tmp_path / "shop" / "notes.txt").write_text("no picture")
    visitor = await open_link(windows, await service.new_link())
    await visitor.page.locator("#input-folder").set_input_files(tmp_path / "shop")
    await all_ended(visitor.page)
    assert set(await states(visitor.page)) == {"a.jpg", "b.jpg"}


async def test_page_works_by_keyboard_alone(windows: Windows, service: Service) -> None:
    visitor = await open_link(windows, await service.new_link())
    choosers: asyncio.Queue[FileChooser] = asyncio.Queue()
    visitor.page.on("filechooser", choosers.put_nowait)  # early, because the browser learns of it in its own time
    await visitor.page.wait_for_selector("#choose")
    await visitor.page.bring_to_front()
    await visitor.page.keyboard.press("Tab")
    await visitor.page.wait_for_selector("#choose:focus")
    await visitor.page.keyboard.press("Enter")
    async with asyncio.timeout(30):
        await (await choosers.get()).set_files([chosen("a.jpg", jpeg(seed=1, size=(1600, 1200)))])
    await all_ended(visitor.page)
    assert (await states(visitor.page))["a.jpg"].startswith("sent")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_page_is_accessible_in_light_and_dark(windows: Windows, service: Service, scheme: str) -> None:
    visitor = await open_link(windows, await service.new_link(label="Stocktaking"), color_scheme=scheme)
    await visitor.page.wait_for_selector("#choose")
    await choose(visitor.page, chosen("a.jpg", jpeg(seed=1, size=(64, 48))), chosen("b.jpg", b"x"))
    await visitor.page.locator(".defects").wait_for()
    assert await visitor.inaccessible() == []
