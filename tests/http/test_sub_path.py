"""Below a sub-path of its host (``IMAGESVC_PUBLIC_URL=https://h/img``), every URL in an answer has the prefix."""

import base64
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import pytest
from pydantic import ValidationError

from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import ROUTE_SEGMENTS, Settings
from tests.support.contract import openapi_document
from tests.support.images import jpeg
from tests.support.service import Service, running_service

PREFIX = "/img"
ROUTES = ("/v1/", "/u/", "/s/")


@pytest.fixture
async def below(settings_with: Callable[..., Settings], sandbox: Sandbox) -> AsyncIterator[Service]:
    async with running_service(settings_with(public_url=f"https://h.example{PREFIX}"), sandbox) as running:
        yield running


def paths_in(value: object) -> Iterator[str]:
    """All strings of a JSON value that are paths of routes, with or without the prefix."""
    if isinstance(value, dict):
        for member in value.values():
            yield from paths_in(member)
    elif isinstance(value, list):
        for item in value:
            yield from paths_in(item)
    elif isinstance(value, str) and value.removeprefix(PREFIX).startswith(ROUTES):
        yield value


def unprefixed(*answers: httpx.Response) -> list[str]:
    paths = [path for answer in answers for path in paths_in(answer.json())]
    headers = [
        answer.headers[name] for answer in answers for name in ("location", "imagesvc-url") if name in answer.headers
    ]
    links = [answer.headers["link"].lstrip("<") for answer in answers if "link" in answer.headers]
    assert paths or headers or links
    return [path for path in (*paths, *headers, *links) if not path.startswith(f"{PREFIX}/")]


async def upload_everywhere(service: Service) -> tuple[list[httpx.Response], str]:
    """One upload in each way that answers with URLs. Returns the answers, and the id of an image."""
    owner, anyone, link = service.owner, service.anyone, await service.new_link(label="a")
    assert link["url"] == f"https://h.example{PREFIX}/u/{link['token']}"
    size = (64, 48)
    multipart = await owner.post("/v1/images", files=[("file", ("a.jpg", jpeg(seed=1, size=size)))])
    raw = await anyone.put(f"{link['path']}/b.jpg", content=jpeg(seed=2, size=size))
    form = await anyone.post(link["path"], files=[("file", ("c.jpg", jpeg(seed=3, size=size)))])
    encoded = base64.b64encode(jpeg(seed=4, size=size)).decode()
    batch = await owner.post("/v1/batches", json={"images": [{"filename": "d.jpg", "file": encoded}]})
    result = multipart.json()["results"][0]
    await service.image_of(result)
    return [multipart, raw, form, batch], result["image_id"]


async def test_every_url_in_a_json_answer_has_the_prefix(below: Service) -> None:
    owner = below.owner
    uploads, image_id = await upload_everywhere(below)
    receipt = await below.anyone.get(uploads[1].json()["results"][0]["url"].removeprefix(PREFIX))
    share = await owner.post(f"/v1/images/{image_id}/shares", json={"expires_in": 60})
    resize = await owner.post("/v1/resizes", json={"image_id": image_id, "width": 10, "height": 10})
    done = await owner.get(resize.json()["status_url"].removeprefix(PREFIX), params={"wait": 20})
    job = await owner.post(
        "/v1/jobs",
        json={
            "count": 1,
            "visits": [
                {"store_id": "S1", "image_url": ["http://127.0.0.1:1/a.jpg"], "visit_time": "2026-11-20T09:11:12Z"}
            ],
        },
    )
    answers = [
        *uploads,
        receipt,
        share,
        resize,
        done,
        job,
        await owner.get(f"/v1/images/{image_id}"),
        await owner.get("/v1/images", params={"limit": 1}),
        await owner.get("/v1/batches", params={"limit": 1}),
        await owner.get(f"/v1/batches/{uploads[0].json()['batch_id']}"),
        await owner.get("/v1/links", params={"limit": 1}),
    ]

    assert [answer.text for answer in answers if answer.status_code >= 400] == []
    assert unprefixed(*answers) == []


@pytest.mark.parametrize("is_stripped", [True, False])
async def test_requests_are_answered_with_and_without_the_prefix(below: Service, is_stripped: bool) -> None:
    """A proxy may remove the prefix or leave it in place."""
    base = below.url if is_stripped else below.url + PREFIX
    link = await below.new_link()
    headers = dict(below.owner.headers)
    async with httpx.AsyncClient(timeout=30) as client:
        sent = await client.put(f"{base}{link['path']}/a.jpg", content=jpeg(seed=1, size=(64, 48)))
        receipt = await client.get(below.url + sent.json()["results"][0]["url"])
        page = await client.get(f"{base}/v1/links", headers=headers)
        missing = await client.get(f"{base}/v1/nothing", headers=headers)
        wrong = await client.put(f"{base}/v1/links", headers=headers)
        document = (await client.get(f"{base}/openapi.json")).json()

    assert [answer.status_code for answer in (sent, receipt, page, missing, wrong)] == [201, 200, 200, 404, 405]
    assert wrong.headers["allow"] == "GET, POST"
    assert document["servers"] == [{"url": PREFIX}]


async def test_resumable_uploads_have_the_prefix(below: Service) -> None:
    data, link = jpeg(seed=1, size=(64, 48)), await below.new_link()
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(data)), "Content-Type": "application/offset+octet-stream"}
    for client, path in ((below.owner, "/v1/tus"), (below.anyone, f"{link['path']}/tus")):
        answer = await client.post(path, content=data, headers=tus)

        assert answer.headers["location"].startswith(f"{PREFIX}{path}/")
        assert answer.headers["imagesvc-url"].startswith(f"{PREFIX}/")


async def test_the_documentation_page_works_below_the_prefix(below: Service) -> None:
    async with httpx.AsyncClient(base_url=f"{below.url}{PREFIX}") as client:
        page = await client.get("/docs")
        style = await client.get("/docs/swagger-ui.css")

    assert 'href="docs/swagger-ui.css' in page.text
    assert (page.status_code, style.status_code) == (200, 200)


@pytest.mark.parametrize("segment", sorted(ROUTE_SEGMENTS))
def test_a_prefix_that_is_a_route_is_refused(settings_with: Callable[..., Settings], segment: str) -> None:
    with pytest.raises(ValidationError, match="route of the service"):
        settings_with(public_url=f"https://h.example/{segment}/x")


def test_all_first_segments_of_routes_are_listed() -> None:
    assert {path.split("/")[1] for path in openapi_document()["paths"]} <= ROUTE_SEGMENTS
