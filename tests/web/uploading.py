"""What tests of the upload page do: open a link, choose files, wait for them, and read their states."""

from pathlib import Path
from typing import Any

from playwright.async_api import FilePayload, Page

from tests.support.browser import Visitor
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
