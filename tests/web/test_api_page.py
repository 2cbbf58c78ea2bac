"""Swagger UI in a real browser."""

from pathlib import Path

from tests.conftest import ADMIN_TOKEN
from tests.support.images import jpeg
from tests.support.people import People
from tests.support.service import Service
from tests.web.conftest import Windows


async def test_upload_with_a_token_and_a_real_file(windows: Windows, service: Service, tmp_path: Path) -> None:
    (tmp_path / "shelf.jpg").write_bytes(jpeg(seed=1))
    visitor = await windows.new()
    page = visitor.page
    await visitor.open("/docs")
    await page.get_by_role("button", name="Authorize").click()
    await page.locator("#auth-bearer-value").fill(ADMIN_TOKEN)
    await (
        page.locator(".auth-container", has=page.locator("#auth-bearer-value"))
        .get_by_role("button", name="Apply credentials")
        .click()
    )
    await page.get_by_role("button", name="Close").first.click()
    operation = page.locator("#operations-upload-upload_images_v1_images_post")
    await operation.locator(".opblock-summary").click()
    await operation.get_by_role("button", name="Add", exact=False).first.click()
    await operation.locator("input[type=file]").last.set_input_files(tmp_path / "shelf.jpg")
    await operation.get_by_role("button", name="Execute").click()
    await operation.locator(".live-responses-table").get_by_text("201", exact=True).first.wait_for()
    assert (await service.owner.get("/v1/images")).json()["items"][0]["title"] == "shelf"


async def test_authorize_with_an_account(windows: Windows, people: People) -> None:
    ann = await people.new("ann")
    visitor = await windows.new()
    page = visitor.page
    await visitor.open("/docs")
    await page.get_by_role("button", name="Authorize").click()
    await page.locator("#oauth_username").fill("ann")
    await page.locator("#oauth_password").fill(ann.password)
    form = page.locator(".auth-container", has=page.locator("#oauth_username"))
    await form.get_by_role("button", name="Apply given OAuth2 credentials").click()
    await page.get_by_role("button", name="Remove authorization").wait_for()
