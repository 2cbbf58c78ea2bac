"""The pictures of the README, made from the running pages. `make screenshots` writes them to docs/pictures."""

import io
import os
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.async_api import FilePayload, Page

from tests.support.service import Service
from tests.web.conftest import Windows
from tests.web.signed_in import sign_in

FOLDER = os.environ.get("IMAGESVC_SCREENSHOTS")
COLORS = 96
MAX_BYTES = 120_000
HUES = ((214, 73, 51), (63, 136, 197), (255, 186, 8), (19, 111, 99), (130, 84, 160), (240, 128, 128), (90, 90, 90))


def shelf(seed: int, size: tuple[int, int] = (1600, 1200)) -> bytes:
    """A drawing of a shelf with boxes, as a JPEG."""
    image = Image.new("RGB", size, (236, 230, 220))
    draw = ImageDraw.Draw(image)
    for row in range(3):
        bottom = 380 + row * 380
        draw.rectangle((0, bottom, size[0], bottom + 24), fill=(120, 95, 70))
        x = 40
        for box in range(9):
            width, height = 110 + (seed * 37 + row * 53 + box * 29) % 90, 180 + (seed * 61 + row * 31 + box * 71) % 130
            color = HUES[(seed + row * 2 + box * 3) % len(HUES)]
            draw.rectangle((x, bottom - height, x + width, bottom), fill=color, outline=(40, 40, 40), width=4)
            draw.rectangle((x + 15, bottom - height + 30, x + width - 15, bottom - height + 80), fill=(250, 250, 245))
            x += width + 12
            if x > size[0] - 180:
                break
    content = io.BytesIO()
    image.save(content, "JPEG", quality=97, subsampling=0)
    return content.getvalue()


async def keep(page: Page, name: str, folder: Path) -> None:
    """Write a screenshot of few colors, so that the file is small."""
    image = Image.open(io.BytesIO(await page.screenshot())).convert("RGB").quantize(COLORS)
    path = folder / f"{name}.png"
    image.save(path, optimize=True)
    assert 0 < path.stat().st_size < MAX_BYTES


async def test_screenshots_of_the_readme_are_small(windows: Windows, service: Service, tmp_path: Path) -> None:
    folder = Path(FOLDER) if FOLDER else tmp_path
    link = await service.new_link(label="Stocktaking, store 12", max_files=50)
    phone = await windows.new(viewport={"width": 360, "height": 900}, is_mobile=True, has_touch=True)
    await phone.open(link["path"])
    files: list[FilePayload] = [
        {"name": f"shelf {seed}.jpg", "mimeType": "image/jpeg", "buffer": shelf(seed)} for seed in range(1, 4)
    ]
    files.append({"name": "label.jpg", "mimeType": "image/jpeg", "buffer": shelf(9, (120, 90))})
    files.append({"name": "list.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7"})
    await phone.page.locator("#input-files").set_input_files(files)
    await phone.page.locator(".file").nth(4).wait_for()
    await phone.page.wait_for_selector(".waiting, .checking, .sending, .processing", state="detached")
    await keep(phone.page, "upload-page", folder)

    await service.owner.post(
        "/v1/images", files=[("file", (f"aisle {seed}.jpg", shelf(seed))) for seed in range(1, 15)]
    )
    for item in (await service.owner.get("/v1/images?limit=50")).json()["items"]:
        await service.owner.get(f"/v1/images/{item['id']}", params={"wait": 30})
    desk = await sign_in(windows, viewport={"width": 1100, "height": 700})
    await desk.page.locator(".chart").nth(3).wait_for()
    await keep(desk.page, "dashboard", folder)
    await desk.open("/admin/images")
    await desk.page.wait_for_load_state("networkidle")
    await keep(desk.page, "images", folder)
