"""What an operator does in the dashboard, in a real browser."""

from tests.support.images import truncated_jpeg
from tests.support.people import People
from tests.support.service import Service
from tests.support.sql import sql
from tests.web.conftest import Windows
from tests.web.signed_in import fill, sign_in


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
