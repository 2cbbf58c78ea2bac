"""The service below a sub-path, behind a real nginx that removes it, with the tus client of browsers."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from tests.support.images import jpeg
from tests.support.nginx import NginxProxy, needs_nginx, running_nginx
from tests.support.service import Service, running_service
from tests.uploads.tus.test_clients import needs_node, run_js

pytestmark = needs_nginx

PREFIX = "/img"


@pytest.fixture
async def below(settings_with: Callable[..., Settings], sandbox: Sandbox) -> AsyncIterator[Service]:
    async with running_service(settings_with(public_url=f"https://h.example{PREFIX}"), sandbox) as running:
        yield running


@pytest.fixture
async def proxy(tmp_path: Path, below: Service) -> AsyncIterator[NginxProxy]:
    api = urlsplit(below.url).netloc
    # the line that docs/operations.md names
    async with running_nginx(tmp_path, api=api, first_line=f"rewrite ^{PREFIX}(/.*)$ $1;") as running:
        yield running


async def test_urls_of_answers_lead_back_through_the_proxy(proxy: NginxProxy, below: Service) -> None:
    link = await below.new_link()
    async with httpx.AsyncClient(base_url=proxy.url, timeout=30) as client:
        sent = await client.put(f"{PREFIX}{link['path']}/a.jpg", content=jpeg(seed=1, size=(64, 48)))
        receipt = await client.get(sent.json()["results"][0]["url"])
        image = await below.image_of(sent.json()["results"][0])
        thumb = await client.get(
            image["renditions"][0]["url"], headers={"Authorization": below.owner.headers["authorization"]}
        )

    assert (sent.status_code, receipt.status_code, thumb.status_code) == (201, 200, 200)
    assert thumb.headers["content-type"] == "image/webp"


@needs_node
async def test_tus_js_client_uploads_below_a_sub_path(proxy: NginxProxy, below: Service, tmp_path: Path) -> None:
    picture = tmp_path / "a.jpg"
    picture.write_bytes(jpeg(seed=1))
    link = await below.new_link()
    steps = [
        {
            "endpoint": f"{proxy.url}{PREFIX}{path}",
            "headers": headers,
            "file": str(picture),
            "chunkSize": 10_000,
            "metadata": {"filename": name},
        }
        for path, headers, name in (
            ("/v1/tus", {"Authorization": below.owner.headers["authorization"]}, "a.jpg"),
            (f"{link['path']}/tus/", {}, "b.jpg"),
        )
    ]

    by_user, through_link = await run_js(steps)

    assert (by_user["outcome"], through_link["outcome"]) == ("success", "success")
    assert urlsplit(by_user["url"]).path.startswith(f"{PREFIX}/v1/tus/")
    assert urlsplit(through_link["url"]).path.startswith(f"{PREFIX}/u/")
