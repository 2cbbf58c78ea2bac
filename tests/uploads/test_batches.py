"""JSON batches over HTTP: independent items, errors with pointers, and lists of batches."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from typing import Any

import httpx
import pytest

from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from tests.support.images import jpeg, png
from tests.support.service import Service, running_service
from tests.support.traces import NOTHING, traces
from tests.uploads.ways_in import verdict

JSON = {"Content-Type": "application/json"}


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def item(seed: int, **members: Any) -> dict[str, Any]:
    return {"file": base64_of(jpeg(seed=seed, size=(64, 48))), **members}


@pytest.fixture
async def limited(settings_with: Callable[..., Settings], sandbox: Sandbox) -> AsyncIterator[Service]:
    """A service with low limits and without a worker."""
    settings = settings_with(max_parts=3, max_file_bytes=100_000)
    async with running_service(settings, sandbox, with_worker=False) as running:
        yield running


async def send(service: Service, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await service.owner.post("/v1/batches", content=content, headers=JSON | headers)


def statuses(answer: httpx.Response) -> list[str]:
    return [result["status"] for result in answer.json()["results"]]


def pointers(problem: dict[str, Any]) -> list[str]:
    return [error["pointer"] for error in problem["errors"]]


async def test_a_batch_is_taken_wrapped_and_bare(service: Service) -> None:
    data = png(seed=1)

    wrapped = await send(service, {"images": [{"file": base64_of(data), "filename": "a.png"}]})
    bare = await send(service, [{"file": base64_of(data)}])

    assert (wrapped.status_code, bare.status_code) == (202, 202)
    assert (statuses(wrapped), statuses(bare)) == (["created"], ["duplicate"])
    result = wrapped.json()["results"][0]
    assert (result["sha256"], result["bytes"], result["filename"]) == (sha256(data).hexdigest(), len(data), "a.png")
    assert (await service.image_of(result))["media_type"] == "image/png"


CONTEXT = {
    "captured_at": "2026-11-20T09:11:12.5+01:00",
    "store_id": "S1",
    "store_name": "Main St",
    "camera_id": "c1",
    "barcode": "4006381333931",
    "title": "Shelf",
    "description": "left",
    "visibility": "public",
    "filename": "shelf.jpg",
}


async def test_the_context_may_precede_or_follow_the_file(idle_service: Service) -> None:
    before = {**CONTEXT, "file": base64_of(jpeg(seed=1))}
    behind = {"file": base64_of(jpeg(seed=2)), **CONTEXT}
    del behind["captured_at"]
    behind["timestamp"] = CONTEXT["captured_at"]

    answer = await send(idle_service, [before, behind])
    batch = (await idle_service.owner.get(f"/v1/batches/{answer.json()['batch_id']}")).json()

    device = {name: CONTEXT[name] for name in ("store_id", "store_name", "camera_id", "barcode", "filename")}
    for upload in batch["uploads"]:
        assert {name: upload[name] for name in device} == device
        assert upload["captured_at"] == "2026-11-20T08:11:12.500Z"
        assert {upload["image"][name] for name in ("title", "description", "visibility")} == {"Shelf", "left", "public"}
    assert len(batch["uploads"]) == 2


async def test_a_bad_item_is_rejected_with_a_pointer_and_its_neighbours_are_kept(idle_service: Service) -> None:
    text = {"file": base64_of(b"this is no picture")}
    wrong_time = item(2, timestamp="yesterday")
    wrong_hash = item(3, sha256="0" * 64)
    items = [
        item(1),
        {"file": "!!"},
        {"camera_id": "c"},
        text,
        wrong_time,
        wrong_hash,
        item(4, barcode=5),
        {"file": ""},
    ]

    answer = await send(idle_service, {"images": [*items, item(5)]})
    results = answer.json()["results"]

    assert answer.status_code == 202
    assert statuses(answer) == ["created"] + ["rejected"] * 7 + ["created"]
    problems = [result["problem"] for result in results[1:8]]
    assert [(problem["status"], problem["type"].removeprefix("/problems/")) for problem in problems] == [
        (422, "broken-base64"),
        (422, "no-file"),
        (415, "unsupported-media-type"),
        (422, "invalid-context"),
        (422, "digest-mismatch"),
        (422, "invalid-context"),
        (422, "empty-file"),
    ]
    assert [pointers(problem) for problem in problems] == [
        ["/images/1/file"],
        ["/images/2/file"],
        ["/images/3/file"],
        ["/images/4/timestamp"],
        ["/images/5/file"],
        ["/images/6/barcode"],
        ["/images/7/file"],
    ]
    assert (await traces(idle_service))["uploads"] == 2


async def test_pointers_into_a_bare_array_begin_with_the_index(idle_service: Service) -> None:
    answer = await send(idle_service, [item(1), {"file": "!!"}])

    assert pointers(answer.json()["results"][1]["problem"]) == ["/1/file"]


async def test_a_context_that_turns_out_wrong_leaves_nothing_of_a_large_file(idle_service: Service) -> None:
    large = jpeg(seed=1) + bytes(20 * 1024 * 1024)

    answer = await send(idle_service, [{"file": base64_of(large), "visibility": "secret"}])

    assert verdict(answer) == (422, "invalid-context")
    assert pointers(answer.json()) == ["/0/visibility"]
    assert await traces(idle_service) == NOTHING


async def test_a_large_file_arrives_whole(service: Service) -> None:
    large = jpeg(seed=1) + bytes(range(256)) * 80_000
    mime = base64.encodebytes(large).decode()

    answer = await send(service, [{"file": mime, "title": "large"}])
    image = await service.image_of(answer.json()["results"][0])

    assert (await service.owner.get(image["original_url"])).content == large


async def test_when_no_item_is_taken_the_answer_is_the_first_problem_with_all_results(idle_service: Service) -> None:
    answer = await send(idle_service, [{"file": base64_of(b"no picture")}, {"camera_id": "c"}])

    assert verdict(answer) == (415, "unsupported-media-type")
    assert statuses(answer) == ["rejected", "rejected"]
    assert (await idle_service.owner.get("/v1/batches")).json()["items"] == []


REFUSED = {
    b"": (400, "broken-json"),
    b"[{": (400, "broken-json"),
    b"\xff\xfe": (400, "broken-json"),
    b"42": (422, "not-a-batch"),
    b'{"images": 5}': (422, "not-a-batch"),
    b"{}": (422, "not-a-batch"),
    b"[]": (422, "no-file"),
    b'{"images": []}': (422, "no-file"),
    b'[{"a":' + b"[" * 1_000_000: (413, "request-too-large"),
    b"[" + b"{}," * 1_000_000 + b"{}]": (422, "no-file"),
}


@pytest.mark.parametrize("body", REFUSED, ids=lambda body: repr(body[:12]))
async def test_an_invalid_batch_is_refused_and_nothing_is_kept(idle_service: Service, body: bytes) -> None:
    answer = await send(idle_service, body)

    assert verdict(answer) == REFUSED[body]
    assert await traces(idle_service) == NOTHING


async def test_complete_items_before_broken_json_are_kept(idle_service: Service) -> None:
    whole = json.dumps([item(1), item(2)]).encode()
    cut_in_the_file, cut_behind_it = whole[: -len(whole) // 4], whole[:-2]

    answers = [await send(idle_service, body) for body in (cut_in_the_file, cut_behind_it, whole[:-1], whole + b"!")]

    assert [answer.status_code for answer in answers] == [202] * 4
    assert [statuses(answer) for answer in answers] == [
        ["created", "rejected"],
        ["duplicate", "rejected"],
        ["duplicate", "created"],
        ["duplicate", "duplicate"],
    ]
    assert answers[0].json()["results"][1]["problem"]["type"] == "/problems/broken-json"
    assert ["could not be read to its end" in answer.json()["warnings"][0] for answer in answers] == [True] * 4


async def test_a_batch_has_so_many_items_and_not_one_more(limited: Service) -> None:
    three = await send(limited, [item(n) for n in range(3)])
    four = await send(limited, [item(n) for n in range(4)])

    assert (statuses(three), three.json()["warnings"]) == (["created"] * 3, [])
    assert statuses(four) == ["duplicate"] * 3
    assert "At most 3 items" in four.json()["warnings"][0]


async def test_a_file_may_have_the_limit_and_not_a_byte_more(limited: Service) -> None:
    def picture(size: int) -> dict[str, Any]:
        data = jpeg(seed=1, size=(64, 48))
        return {"file": base64_of(data + bytes(size - len(data)))}

    answer = await send(limited, [picture(100_000), picture(100_001), item(2)])

    assert statuses(answer) == ["created", "rejected", "created"]
    assert answer.json()["results"][1]["problem"]["type"] == "/problems/file-too-large"


async def test_only_json_is_taken(idle_service: Service) -> None:
    body = json.dumps([item(1)]).encode()

    refused = await send(idle_service, body, **{"Content-Type": "application/x-www-form-urlencoded"})
    taken = await send(idle_service, body, **{"Content-Type": "application/json; charset=utf-8"})

    assert verdict(refused) == (415, "not-json")
    assert taken.status_code == 202


async def test_a_batch_needs_a_credential_that_may_upload(idle_service: Service) -> None:
    answers = [
        await idle_service.anyone.post("/v1/batches", json=[item(1)]),
        await idle_service.anyone.get("/v1/batches"),
        await idle_service.anyone.post("/v1/batches", json=[item(1)], headers={"Authorization": "Bearer no"}),
    ]

    assert [answer.status_code for answer in answers] == [401] * 3
    assert await traces(idle_service) == NOTHING


async def test_a_batch_shows_its_images_and_where_they_and_their_renditions_are(service: Service) -> None:
    answer = await send(service, [item(1), item(2), {"file": "!!"}])
    created = answer.json()["results"][:2]
    for result in created:
        await service.image_of(result)

    batch = (await service.owner.get(f"/v1/batches/{answer.json()['batch_id']}")).json()

    assert (batch["way"], batch["rejected"], batch["uploads_total"]) == ("batch", 1, 2)
    assert [upload["position"] for upload in batch["uploads"]] == [0, 1]
    assert [upload["image"]["id"] for upload in batch["uploads"]] == [result["image_id"] for result in created]
    image = batch["uploads"][0]["image"]
    assert (image["state"], image["url"]) == ("ready", created[0]["url"])
    assert {rendition["preset"] for rendition in image["renditions"]} == {"thumb", "medium", "large"}
    urls = [image["original_url"], *(rendition["url"] for rendition in image["renditions"])]
    assert {(await service.owner.get(url)).status_code for url in urls} == {200}


async def test_requests_of_all_ways_are_batches_newest_first(idle_service: Service) -> None:
    link = await idle_service.new_link()
    files = [("file", ("a.jpg", jpeg(seed=1))), ("file", ("b.txt", b"no picture")), ("file", ("c.jpg", jpeg(seed=2)))]
    sent = [
        await idle_service.anyone.post(link["path"], files=files),
        await idle_service.owner.post("/v1/images", files=files),
        await send(idle_service, [item(3)]),
    ]

    page = (await idle_service.owner.get("/v1/batches")).json()

    assert [batch["id"] for batch in page["items"]] == [answer.json()["batch_id"] for answer in reversed(sent)]
    assert [(batch["way"], batch["rejected"], batch["uploads_total"]) for batch in page["items"]] == [
        ("batch", 0, 1),
        ("user", 1, 2),
        ("link", 1, 2),
    ]
    assert page["items"][2]["link_id"] == link["id"]
    assert page["next_cursor"] is None


async def test_batches_are_paged_by_cursor_and_by_number(idle_service: Service) -> None:
    sent = [(await send(idle_service, [item(n)])).json()["batch_id"] for n in range(5)]
    newest_first = list(reversed(sent))
    owner = idle_service.owner

    first = await owner.get("/v1/batches", params={"limit": 2})
    second = await owner.get("/v1/batches", params={"limit": 2, "cursor": first.json()["next_cursor"]})
    linked = await owner.get(second.links["next"]["url"])
    numbered = await owner.get("/v1/batches", params={"page": 2, "per_page": 2})
    last = await owner.get(numbered.links["next"]["url"])
    beyond = await owner.get("/v1/batches", params={"page": 9, "per_page": 2})

    shown = [
        [batch["id"] for batch in page.json()["items"]] for page in (first, second, linked, numbered, last, beyond)
    ]
    assert shown == [newest_first[:2], newest_first[2:4], newest_first[4:], newest_first[2:4], newest_first[4:], []]
    assert [page.json()["next_cursor"] for page in (linked, last)] == [None, None]
    assert "next" not in last.links


async def test_a_list_of_batches_shows_the_first_uploads_of_each_and_counts_all(idle_service: Service) -> None:
    answer = await send(idle_service, [item(1) for _ in range(30)])
    batch_id = answer.json()["batch_id"]

    listed = (await idle_service.owner.get("/v1/batches")).json()["items"][0]
    whole = (await idle_service.owner.get(f"/v1/batches/{batch_id}")).json()

    assert (listed["uploads_total"], len(listed["uploads"])) == (30, 25)
    assert (whole["uploads_total"], [upload["position"] for upload in whole["uploads"]]) == (30, list(range(30)))


BAD_PAGES = [
    {"page": 1, "cursor": "x"},
    {"per_page": 5, "cursor": "x"},
    {"page": 0},
    {"page": 101, "per_page": 100},
    {"per_page": 201},
    {"limit": 0},
    {"page": "x"},
]


@pytest.mark.parametrize("params", BAD_PAGES, ids=str)
async def test_pages_that_there_cannot_be_are_422(idle_service: Service, params: dict[str, Any]) -> None:
    assert (await idle_service.owner.get("/v1/batches", params=params)).status_code == 422


async def test_a_foreign_or_invalid_cursor_is_400(idle_service: Service) -> None:
    assert (await idle_service.owner.get("/v1/batches", params={"cursor": "abc"})).status_code == 400


async def test_a_batch_that_is_not_there_is_404(idle_service: Service) -> None:
    answers = [
        await idle_service.owner.get("/v1/batches/01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a11"),
        await idle_service.owner.get("/v1/batches/nonsense"),
    ]

    assert [answer.status_code for answer in answers] == [404, 404]


async def test_a_deleted_image_leaves_its_batch(idle_service: Service) -> None:
    answer = await send(idle_service, [item(1), item(2)])
    results = answer.json()["results"]

    await idle_service.owner.delete(results[0]["url"])
    batch = (await idle_service.owner.get(f"/v1/batches/{answer.json()['batch_id']}")).json()

    assert [upload["image"]["id"] for upload in batch["uploads"]] == [results[1]["image_id"]]
