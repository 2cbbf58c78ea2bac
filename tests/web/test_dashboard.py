"""The dashboard in a real browser."""

from dataclasses import dataclass
from typing import Any

import pytest
from playwright.async_api import Page

from tests.conftest import ADMIN_TOKEN
from tests.support.browser import Visitor
from tests.support.images import exif_jpeg, jpeg, truncated_jpeg
from tests.support.people import People
from tests.support.service import Service
from tests.support.sql import sql
from tests.web.conftest import Windows

PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
PAGES = (
    "",
    "/images",
    "/links",
    "/batches",
    "/visits",
    "/stores",
    "/jobs",
    "/resizes",
    "/webhooks",
    "/tasks",
    "/runs",
    "/accounts",
    "/keys",
)
HOSTILE = "<img src=x onerror=alert(1)>\u202egpj" + "W" * 3900


async def sign_in(windows: Windows, account: str = "admin", password: str = ADMIN_TOKEN, **options: Any) -> Visitor:
    visitor = await windows.new(**options)
    await visitor.open("/admin")
    await visitor.page.get_by_label("Account").fill(account)
    await visitor.page.get_by_label("Password").fill(password)
    await visitor.page.get_by_role("button", name="Sign in").click()
    await visitor.page.get_by_role("button", name="Sign out").wait_for()
    return visitor


@dataclass(kw_only=True)
class Content:
    """Ids of one thing of each kind."""

    image: str
    link: str
    batch: str
    job: str
    webhook: str

    def pages(self) -> list[str]:
        return [
            *PAGES,
            f"/images/{self.image}",
            f"/links/{self.link}",
            f"/links/{self.link}/poster",
            f"/batches/{self.batch}",
            f"/jobs/{self.job}",
            f"/webhooks/{self.webhook}",
        ]


async def fill(service: Service) -> Content:
    """One thing of each kind, with hostile names where strangers choose them."""
    link = await service.new_link(label=HOSTILE[:200])
    owner = service.owner
    await service.owner.put("/v1/stores/S1", json={"store_name": HOSTILE[:150], "area": "A"})
    sent = await owner.post(
        "/v1/images",
        data={"title": HOSTILE[:300], "description": HOSTILE, "store_id": "S1"},
        files={"file": ("a.jpg", exif_jpeg(seed=1))},
    )
    result = sent.json()["results"][0]
    await service.image_of(result)
    await owner.post("/v1/images", files={"file": ("b.jpg", jpeg(seed=1, quality=60))})
    visit = {"store_id": "S1", "image_url": ["http://127.0.0.1:9/a.jpg"], "visit_time": "2026-11-01T10:00:00Z"}
    job = (await owner.post("/v1/jobs", json={"count": 1, "visits": [visit]})).json()["job_id"]
    await owner.post("/v1/resizes", json={"image_id": result["image_id"], "width": 20, "height": 20})
    hook = await owner.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/hook", "events": ["image.ready"]})
    assert hook.status_code == 201, hook.text
    await sql(
        service,
        "INSERT INTO tasks (id, kind, state, payload, dedupe_key, attempts, last_error, died_at)"
        " VALUES (gen_random_uuid(), 'process_image', 'dead', '{}', 'test', 5, 'decoder-timeout', now())",
    )
    return Content(
        image=result["image_id"], link=link["id"], batch=sent.json()["batch_id"], job=job, webhook=hook.json()["id"]
    )


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


async def test_link_is_created_copied_and_revoked(windows: Windows, service: Service) -> None:
    visitor = await sign_in(windows)
    visitor.page.on("dialog", lambda dialog: dialog.accept())
    page = visitor.page
    await visitor.open("/admin/links")
    await page.get_by_text("New link").click()
    await page.get_by_label("Label").fill("Stocktaking")
    await page.get_by_label("Most files").fill("7")
    await page.get_by_role("button", name="Create the link").click()
    await page.get_by_role("heading", name="Stocktaking").wait_for()
    address = await page.get_by_label("Address", exact=True).input_value()
    private = await page.get_by_label("Address whose token").input_value()
    assert private == address.replace("/u/", "/u#")
    await page.locator("[data-copy=url]").click()
    await page.get_by_role("button", name="Copied").wait_for()
    assert await page.locator(".qr svg").count() == 1
    invited = await service.anyone.get(address.partition("/u/")[1] + address.partition("/u/")[2])
    assert (invited.json()["label"], invited.json()["remaining"]["files"]) == ("Stocktaking", 7)
    await page.get_by_role("button", name="Revoke").click()
    await page.get_by_text("Revoked.").wait_for()
    assert (await service.anyone.get(invited.request.url.path)).status_code == 410


async def test_key_is_shown_once_and_works(windows: Windows, service: Service) -> None:
    visitor = await sign_in(windows)
    page = visitor.page
    await visitor.open("/admin/keys")
    await page.get_by_text("New key").click()
    await page.get_by_label("Name").fill("till 4")
    await page.get_by_role("button", name="Create").click()
    key = await page.get_by_label("Secret").input_value()
    answer = await service.anyone.get("/v1/users/me", headers={"Authorization": f"Bearer {key}"})
    assert answer.json()["scopes"] == ["upload"]
    await visitor.open("/admin/keys")
    assert key not in await page.content()


async def test_accounts_stores_and_webhooks_are_managed(windows: Windows, service: Service, people: People) -> None:
    visitor = await sign_in(windows)
    visitor.page.on("dialog", lambda dialog: dialog.accept())
    page = visitor.page
    await visitor.open("/admin/accounts")
    await page.get_by_text("New account").click()
    await page.get_by_label("Name").fill("cora")
    await page.get_by_label("Password").fill("correct horse of cora")
    await page.get_by_role("button", name="Create").click()
    await page.get_by_role("button", name="Make admin: cora").click()
    await page.get_by_role("button", name="Make member: cora").wait_for()
    await page.get_by_role("button", name="Disable: cora").click()
    await page.get_by_role("button", name="Enable: cora").wait_for()
    assert (await people.log_in("cora", "correct horse of cora")).status_code == 401

    await visitor.open("/admin/stores")
    await page.get_by_text("Import lines").click()
    await page.get_by_label("AreaCode").fill("AreaCode,StoreName,StoreID\nA,One,S1\nA,Two,S2\n,,\n")
    await page.get_by_role("button", name="Import").click()
    await page.get_by_role("heading", name="Import").wait_for()
    assert (await service.owner.get("/v1/stores/S2")).json()["store_name"] == "Two"

    await visitor.open("/admin/webhooks")
    await page.get_by_text("New webhook").click()
    await page.get_by_label("Address").fill("http://127.0.0.1:9/hook")
    await page.get_by_role("button", name="Create").click()
    assert (await page.get_by_label("Secret").input_value()).startswith("whsec_")


async def test_dead_letter_is_retried_and_deleted(windows: Windows, service: Service) -> None:
    await fill(service)
    visitor = await sign_in(windows)
    visitor.page.on("dialog", lambda dialog: dialog.accept())
    await visitor.open("/admin/tasks")
    await visitor.page.get_by_text("decoder-timeout").wait_for()
    await visitor.page.get_by_role("button", name="Delete: process_image").click()
    await visitor.page.get_by_text("No dead letters.").wait_for()


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


async def test_visits_are_charted_paged_and_downloaded(windows: Windows, service: Service) -> None:
    await sql(
        service,
        """
        WITH made AS (
            INSERT INTO stores (id, name, area)
            SELECT 'S' || lpad(n::text, 3, '0'), CASE n WHEN 0 THEN '=HYPERLINK(1)' ELSE 'Shop ' || n END, 'A'
            FROM generate_series(0, 59) n RETURNING id
        ), job AS (
            INSERT INTO jobs (id, owner_id, total) SELECT gen_random_uuid(), id, 60 FROM users RETURNING id, owner_id
        ), visit AS (
            INSERT INTO visits (id, job_id, position, store_id, visit_time)
            SELECT gen_random_uuid(), job.id, row_number() OVER (ORDER BY made.id), made.id, now() FROM made, job
            RETURNING id, store_id, visit_time
        )
        INSERT INTO visit_images
            (id, visit_id, owner_id, store_id, visit_time, position, url, fetch_id, state, perimeter, score, seconds)
        SELECT gen_random_uuid(), v.id, job.owner_id, v.store_id, v.visit_time, 0, 'https://example.org/a.jpg',
               gen_random_uuid(), 'done', 14000, 87, 0.5 FROM visit v, job
        """,
    )
    visitor = await sign_in(windows)
    page = visitor.page
    await visitor.open("/admin/visits")
    assert "20 images" in str(await page.locator(".chart svg").get_attribute("aria-label"))
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Download as CSV").click()
    lines = (await (await downloading.value).path()).read_text().splitlines()
    assert lines[0] == "store_id,area,store_name,date,images,perimeter,average_seconds,average_score"
    assert (len(lines), lines[1].split(",")[2]) == (61, "'=HYPERLINK(1)")
    await page.locator(".more").scroll_into_view_if_needed()
    await page.locator("#items tr").nth(39).wait_for(state="attached")
    await page.mouse.wheel(0, 20_000)
    await page.locator("#items tr").nth(59).wait_for(state="attached")
    await page.get_by_label("From", exact=True).fill("2020-01-01")
    await page.get_by_label("To", exact=True).fill("2020-01-31")
    await page.get_by_role("button", name="Show").click()
    await page.get_by_text("No visits.").wait_for()


async def test_result_of_a_resize_is_shown(windows: Windows, service: Service) -> None:
    await fill(service)
    visitor = await sign_in(windows)
    await visitor.open("/admin/resizes")
    link = visitor.page.get_by_role("link", name="20 ×")
    await link.wait_for()
    answer = await visitor.page.request.get(service.url + str(await link.get_attribute("href")))
    assert answer.headers["content-type"] == "image/jpeg"


async def test_rejected_image_is_processed_again(windows: Windows, service: Service) -> None:
    sent = await service.owner.post("/v1/images", files={"file": ("a.jpg", truncated_jpeg(seed=1, keep=0.02))})
    image = await service.image_of(sent.json()["results"][0])
    assert image["state"] == "rejected"
    visitor = await sign_in(windows)
    await visitor.open(f"/admin/images/{image['id']}")
    await visitor.page.get_by_role("button", name="Process again").click()
    await visitor.page.get_by_text("Processing again in the background.").wait_for()
    await visitor.open("/admin/runs")
    await visitor.page.get_by_text("state: rejected").wait_for()
