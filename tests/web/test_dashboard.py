"""The dashboard in a real browser."""

from typing import Any

import pytest
from playwright.async_api import Page

from tests.support.images import jpeg
from tests.support.people import People
from tests.support.service import Service
from tests.web.conftest import Windows
from tests.web.signed_in import HOSTILE, fill, sign_in
from tests.web.uploading import PHONE


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
async def test_every_page_is_accessible_and_fits(windows: Windows, service: Service, options: dict[str, Any]) -> None:
    content = await fill(service)
    visitor = await sign_in(windows, **options)
    findings: dict[str, object] = {}
    for path in content.pages():
        answer = await visitor.open(f"/admin{path}")
        assert answer is not None
        assert answer.status == 200, path
        found: list[object] = [*(await visitor.inaccessible())]
        if (overflow := await visitor.overflow()) > 0:
            found.append(f"{overflow} px too wide")
        if found:
            findings[path] = found
    assert findings == {}


async def test_overview_shows_counts_and_refreshes_itself(windows: Windows, service: Service) -> None:
    visitor = await sign_in(windows)
    await visitor.page.get_by_text("uploads today").wait_for()
    await service.owner.post("/v1/images", files={"file": ("a.jpg", jpeg(seed=1))})
    await visitor.page.locator(".tiles li", has_text="uploads today").get_by_text("1", exact=True).wait_for()


async def test_images_are_filtered_selected_and_deleted(windows: Windows, service: Service) -> None:
    for seed in range(3):
        files = {"file": (f"{seed}.jpg", jpeg(seed=seed))}
        sent = await service.owner.post("/v1/images", data={"title": f"shelf {seed}"}, files=files)
        await service.image_of(sent.json()["results"][0])
    visitor = await sign_in(windows)
    visitor.page.on("dialog", lambda dialog: dialog.accept())
    await visitor.open("/admin/images?q=shelf")
    page = visitor.page
    assert await page.locator("#items img").count() == 3
    await page.get_by_label("Select shelf 1").check()
    await page.get_by_label("Select shelf 2").check()
    assert await page.locator("#selected-count").inner_text() == "2 selected"
    await choose_action(page, "delete")
    await page.get_by_text("Deleted.").wait_for()
    assert page.url.endswith("q=shelf&done=deleted")
    assert await page.locator("#items .caption").all_inner_texts() == ["shelf 0"]
    await page.get_by_label("Select shelf 0").check()
    await choose_action(page, "publish")
    await page.get_by_text("Published.").wait_for()
    await page.get_by_label("Select shelf 0").check()
    await choose_action(page, "reprocess")
    await page.get_by_text("Processing again in the background.").wait_for()
    assert (await service.owner.get("/v1/images?visibility=public")).json()["items"][0]["title"] == "shelf 0"


async def choose_action(page: Page, action: str) -> None:
    await page.locator("#action").select_option(action)
    await page.get_by_role("button", name="Apply to the selected").click()


async def test_list_of_images_goes_on_at_its_end(windows: Windows, service: Service) -> None:
    for start in range(0, 60, 20):
        files = [("file", (f"{seed}.png", jpeg(seed=seed, size=(32, 24)))) for seed in range(start, start + 20)]
        await service.owner.post("/v1/images", files=files)
    visitor = await sign_in(windows)
    await visitor.open("/admin/images")
    await visitor.page.mouse.wheel(0, 20_000)
    await visitor.page.locator("#items li").nth(59).wait_for(state="attached")
    assert await visitor.page.locator("a[rel=next]").count() == 0


async def test_image_is_edited_shared_and_deleted(windows: Windows, service: Service) -> None:
    content = await fill(service)
    visitor = await sign_in(windows)
    visitor.page.on("dialog", lambda dialog: dialog.accept())
    page = visitor.page
    await visitor.open(f"/admin/images/{content.image}")
    await page.locator("#histogram svg").wait_for()
    assert await page.locator("h1").text_content() == HOSTILE[:300]
    await page.get_by_text("Edit").click()
    await page.get_by_label("Title").fill("a shelf")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_role("heading", name="a shelf").wait_for()
    await page.get_by_role("button", name="Share").click()
    shared = await page.locator("td a[href*='/s/']").get_attribute("href")
    assert shared is not None
    assert (await service.anyone.get(shared)).status_code == 200
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_text("Deleted.").wait_for()
    assert (await service.owner.get(f"/v1/images/{content.image}")).status_code == 404


async def test_member_sees_their_own_pages(windows: Windows, people: People) -> None:
    ann = await people.new("ann")
    await ann.client.post("/v1/images", files={"file": ("mine.jpg", jpeg(seed=5))})
    visitor = await sign_in(windows, "ann", ann.password)
    assert await visitor.page.locator("h1").inner_text() == "Images"
    assert await visitor.page.get_by_role("link", name="Accounts").count() == 0
    assert await visitor.page.locator("#items li .caption").all_inner_texts() == ["mine"]


async def test_dashboard_works_without_scripts(windows: Windows, service: Service) -> None:
    content = await fill(service)
    visitor = await sign_in(windows, java_script_enabled=False)
    await visitor.open(f"/admin/links/{content.link}")
    await visitor.page.get_by_role("button", name="Revoke").click()
    await visitor.page.get_by_text("Revoked.").wait_for()
