"""Search: the matches of each filter, visibility, paging while images arrive, cursors and invalid parameters."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import httpx
import pytest

from imagesvc.accounts.service import OPERATOR
from imagesvc.images.search.schemas import ImageSearch
from imagesvc.images.search.service import Search
from tests.images.uploads import send
from tests.support.images import exif_jpeg, jpeg, png, truncated_jpeg
from tests.support.people import People, Person
from tests.support.service import Service
from tests.support.wire import MULTIPART, field_part, file_part, form

SMALL = (96, 72)


@pytest.fixture
async def people(service: Service) -> AsyncIterator[People]:
    async with People(service) as people:
        yield people


async def send_as(person: Person, data: bytes, name: bytes = b"a.jpg", **fields: str) -> str:
    parts = [field_part(field, value.encode()) for field, value in fields.items()]
    answer = await person.client.post("/v1/images", content=form(*parts, file_part(data, name)), headers=MULTIPART)
    assert answer.status_code == 201, answer.text
    image_id: str = answer.json()["results"][0]["image_id"]
    return image_id


async def found(client: httpx.AsyncClient, **wanted: Any) -> list[str]:
    answer = await client.get("/v1/images", params=wanted)
    assert answer.status_code == 200, answer.text
    return [image["id"] for image in answer.json()["items"]]


async def pictures(service: Service) -> dict[str, str]:
    """Upload images and wait for their processing. Returns their ids by name, and the ids of a link and a batch."""
    link = await service.new_link(store_id="S9")
    sent = {
        "paris": await send(
            service,
            exif_jpeg(seed=1, size=SMALL, latitude=48.85837, longitude=2.29448),
            name="Rot & Weiß_100%.JPG".encode(),
            title="Red Cat",
            visibility="public",
            store_id="S1",
            store_name="Corner Shop",
            camera_id="cam-1",
            barcode="4001",
        ),
        "east": await send(
            service,
            exif_jpeg(seed=2, size=SMALL, latitude=0.01, longitude=179.99, offset=None, model="Other"),
            title="Регал 7",
            description="a RED\ndog on a mat",
            store_id="S1",
            camera_id="cam-2",
        ),
        "west": await send(
            service,
            exif_jpeg(seed=3, size=SMALL, latitude=0.01, longitude=-179.99, taken="2021:01:01 00:30:00"),
            title="写真館",
        ),
        "pole": await send(
            service, exif_jpeg(seed=4, size=SMALL, latitude=89.9, longitude=10.0, taken=None), title="ice"
        ),
        "plain": await send(service, png(seed=5, size=SMALL), name=b"plain.png", visibility="public"),
        "broken": await send(service, truncated_jpeg(seed=6, size=SMALL)),
        "linked": (await service.anyone.put(f"{link['path']}/l.jpg", content=jpeg(seed=7, size=SMALL))).json()[
            "results"
        ][0],
    }
    images = {name: await service.image_of(one) for name, one in sent.items()}
    assert images["broken"]["state"] == "rejected"
    return {name: image["id"] for name, image in images.items()} | {
        "link_id": link["id"],
        "batch_id": images["linked"]["uploads"][0]["batch_id"],
    }


FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({"q": "red"}, {"paris", "east"}),
    ({"q": " RED c"}, {"paris"}),
    ({"q": "д"}, set()),
    ({"q": "РЕГАЛ"}, {"east"}),
    ({"q": "真"}, {"west"}),
    ({"q": "写真"}, {"west"}),
    ({"q": "ic"}, {"pole"}),
    ({"q": "qz"}, set()),
    ({"q": "weiß_100%.jpg"}, {"paris"}),
    ({"q": "_%"}, set()),
    ({"q": "'"}, set()),
    ({"q": "\\"}, set()),
    ({"q": ""}, {"paris", "east", "west", "pole", "plain", "broken", "linked"}),
    ({"visibility": "public"}, {"paris", "plain"}),
    ({"state": "rejected"}, {"broken"}),
    ({"format": "image/png"}, {"plain"}),
    ({"format": "png", "q": "red"}, set()),
    ({"min_score": 100}, set()),
    ({"uploaded_from": "2020-01-01", "uploaded_to": "2020-12-31"}, set()),
    ({"uploaded_to": "2020-01-01T00:00:00+02:00"}, set()),
    ({"uploaded_from": "2020-01-01T00:00:00 02:00", "state": "rejected"}, {"broken"}),
    ({"store_id": "S1"}, {"paris", "east"}),
    ({"store_id": "s1"}, set()),
    ({"store_id": "S9"}, {"linked"}),
    ({"store_name": "Corner Shop"}, {"paris"}),
    ({"camera_id": "cam-2"}, {"east"}),
    ({"store_id": "S1", "camera_id": "cam-2"}, {"east"}),
    ({"barcode": "4001"}, {"paris"}),
    ({"link_id": "{link_id}"}, {"linked"}),
    ({"batch_id": "{batch_id}"}, {"linked"}),
    ({"camera_model": "acme  cam 9"}, {"paris", "west", "pole"}),
    # 10:11:12 at +02:00; where the offset is unknown, the clock is compared as written
    ({"captured_from": "2020-09-02T08:11:12Z", "captured_to": "2020-09-02T08:11:12Z"}, {"paris"}),
    ({"captured_from": "2020-09-02T10:11:12+02:00", "captured_to": "2020-09-02T10:11:12+02:00"}, {"paris", "east"}),
    ({"captured_from": "2020-09-02T10:11:13+02:00"}, {"west"}),
    ({"captured_from": "2020-12-31", "captured_to": "2020-12-31"}, {"west"}),
    ({"captured_to": "2020-09-01"}, set()),
    ({"near": "48.85837,2.29448,0.1"}, {"paris"}),
    ({"near": "48.95,2.29448,10"}, set()),
    ({"near": "48.95,2.29448,11"}, {"paris"}),
    ({"near": "0,180,5"}, {"east", "west"}),
    ({"near": "0,-179.995,2"}, {"west"}),
    ({"near": "89.9,-170,23"}, {"pole"}),
    ({"near": "-90,0,20000"}, {"paris", "east", "west"}),
    ({"near": "48.9,2.3,20100"}, {"paris", "east", "west", "pole"}),
    ({"near": "48.9,2.3,20100", "q": "red"}, {"paris", "east"}),
    ({"near": "0,180,5", "store_id": "S1"}, {"east"}),
    ({"q": "red", "store_id": "S1", "camera_model": "Other"}, {"east"}),
    ({"store_id": "S1", "sort": "-score"}, {"paris", "east"}),
    ({"store_id": "S1", "q": "cat", "sort": "score"}, {"paris"}),
    ({"captured_from": "2020-10-01", "sort": "-captured", "owner": "me"}, {"west"}),
    ({"min_score": 0, "sort": "score", "visibility": "public"}, {"paris", "plain"}),
    ({"min_score": 0, "visibility": "public", "q": "plain"}, {"plain"}),
]


async def test_each_filter_finds_its_matches_and_nothing_else(service: Service) -> None:
    ids = await pictures(service)
    names = {image_id: name for name, image_id in ids.items()}
    requests = [{name: str(value).format(**ids) for name, value in wanted.items()} for wanted, _ in FILTERS]

    answers = [await found(service.owner, **wanted) for wanted in requests]
    # the plan `collect`, which is for more images than a scan tests
    collecting = Search(service.background.servers.database, max_scanned=1)
    collected = [
        await collecting.page(OPERATOR, ImageSearch.model_validate(wanted), after=None, rows=50) for wanted in requests
    ]

    assert [
        (wanted, {names[one] for one in answer}) for (wanted, _), answer in zip(FILTERS, answers, strict=True)
    ] == FILTERS
    assert [[image.members["id"] for image in page] for page in collected] == answers


async def test_other_accounts_cannot_search_by_members_that_they_do_not_see(service: Service, people: People) -> None:
    ids = await pictures(service)
    ann = await people.new("ann")
    paris, plain = ids["paris"], ids["plain"]
    hidden = [
        {"near": "48.85837,2.29448,1"},
        {"near": "0,0,20100"},
        {"camera_model": "Acme Cam 9"},
        {"captured_from": "2000-01-01"},
        {"captured_to": "2100-01-01"},
        {"store_id": "S1"},
        {"store_name": "Corner Shop"},
        {"camera_id": "cam-1"},
        {"barcode": "4001"},
        {"link_id": ids["link_id"]},
        {"batch_id": ids["batch_id"]},
        {"q": "weiß_100%"},
    ]
    own = await send_as(ann, exif_jpeg(seed=1, size=SMALL, latitude=48.85837, longitude=2.29448), store_id="S1")
    await ann.client.get(f"/v1/images/{own}", params={"wait": 30})

    seen = await found(service.anyone)
    by_anyone = [await found(service.anyone, **wanted) for wanted in hidden]
    by_ann = [await found(ann.client, **wanted) for wanted in hidden]
    of_admin = await found(ann.client, owner="00000000-0000-7000-8000-000000000001")
    item = (await service.anyone.get("/v1/images", params={"q": "CAT"})).json()["items"]

    assert seen == [plain, paris]
    assert by_anyone == [[]] * len(hidden)
    assert {one for answer in by_ann for one in answer} == {own}
    assert (await found(ann.client), of_admin) == ([own, plain, paris], [plain, paris])
    assert await found(ann.client, owner="me") == await found(ann.client, visibility="private") == [own]
    assert await found(ann.client, owner="00000000-0000-7000-8000-000000000001", store_id="S1") == []
    assert [(image["id"], image["camera"], image["uploads"], image["sha256"]) for image in item] == [
        (paris, None, [], None)
    ]


async def test_pages_contain_every_image_once_in_order_while_images_arrive(service: Service, people: People) -> None:
    ann = await people.new("ann")
    ids = [await send_as(ann, jpeg(seed=seed, size=(48, 48)), store_id=f"S{seed % 2}") for seed in range(9)]
    later: list[str] = []

    async def are_processed(images: list[str]) -> None:
        await asyncio.gather(*(ann.client.get(f"/v1/images/{one}", params={"wait": 30}) for one in images))

    async def pages(arriving: int | None = None, **wanted: Any) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        url = "/v1/images"
        params: dict[str, Any] | None = {"limit": 4, **wanted}
        while url:
            answer = await ann.client.get(url, params=params)
            items += answer.json()["items"]
            if arriving is not None:
                later.append(await send_as(ann, jpeg(seed=arriving + len(items), size=(48, 48))))
            url, params = answer.links.get("next", {}).get("url", ""), None
        return items

    await are_processed(ids)
    newest = await pages(arriving=100, owner="me")
    await are_processed(later)
    by_score = await pages(sort="-score", state="ready", owner="me")
    worst = await pages(sort="score", owner="me")
    captured = await pages(sort="-captured", owner="me")
    of_store = await pages(store_id="S1", sort="created_at")
    with_words = await pages(q="a", owner="me", sort="created_at")

    assert [image["id"] for image in newest] == ids[::-1]
    assert [image["created_at"] for image in newest] == sorted((image["created_at"] for image in newest), reverse=True)
    assert all(one["score"]["value"] >= other["score"]["value"] for one, other in pairwise(by_score))
    assert {image["id"] for image in worst} == {image["id"] for image in captured} == {*ids, *later}
    assert len(worst) == len(captured) == len(ids) + len(later)
    assert [image["id"] for image in of_store] == ids[1::2]
    assert [image["id"] for image in with_words][: len(ids)] == ids


async def test_a_cursor_is_valid_only_for_its_own_query(idle_service: Service) -> None:
    for seed in range(3):
        await send(idle_service, jpeg(seed=seed, size=(48, 48)), visibility="public")
    first = await idle_service.owner.get("/v1/images", params={"limit": 1, "q": "a"})
    cursor = first.json()["next_cursor"]

    async def status(client: httpx.AsyncClient, **wanted: Any) -> int:
        return (await client.get("/v1/images", params=wanted)).status_code

    assert await status(idle_service.owner, q="a", limit=2, cursor=cursor) == 200
    assert [
        await status(idle_service.owner, cursor=cursor),
        await status(idle_service.owner, q="b", cursor=cursor),
        await status(idle_service.owner, q="a", sort="created_at", cursor=cursor),
        await status(idle_service.anyone, q="a", cursor=cursor),
        await status(idle_service.owner, q="a", cursor=cursor[:-2] + "AA"),
        await status(idle_service.owner, q="a", cursor="abc"),
    ] == [400] * 6


BAD = [
    ({"limit": "0"}, "limit"),
    ({"limit": "201"}, "limit"),
    ({"limit": "ten"}, "limit"),
    ({"near": "95,0,1"}, "near"),
    ({"near": "0,181,1"}, "near"),
    ({"near": "0,0,0"}, "near"),
    ({"near": "0,0,nan"}, "near"),
    ({"near": "inf,0,1"}, "near"),
    ({"near": "0,0"}, "near"),
    ({"near": "here"}, "near"),
    ({"min_score": "101"}, "min_score"),
    ({"min_score": "-1"}, "min_score"),
    ({"uploaded_from": "2026-02-30"}, "uploaded_from"),
    ({"uploaded_from": "2026-02-20T10:00:00"}, "uploaded_from"),
    ({"uploaded_from": "20260220"}, "uploaded_from"),
    ({"uploaded_from": "2026-02-20", "uploaded_to": "2026-02-19"}, "uploaded_to"),
    ({"captured_from": "2026-02-20T10:00:00Z", "captured_to": "2026-02-20T10:59:59+01:00"}, "captured_to"),
    ({"captured_from": "0001-01-01T00:00:00+01:00"}, "captured_from"),
    ({"sort": "nope"}, "sort"),
    ({"sort": "-captured"}, "sort"),
    ({"sort": "captured", "owner": "00000000-0000-7000-8000-000000000001"}, "sort"),
    ({"owner": "ann"}, "owner"),
    ({"visibility": "shared"}, "visibility"),
    ({"state": "done"}, "state"),
    ({"format": "svg"}, "format"),
    ({"link_id": "1"}, "link_id"),
    ({"store_id": ""}, "store_id"),
    ({"store_id": "a\x00"}, "store_id"),
    ({"q": "a\x00"}, "q"),
    ({"q": "a" * 201}, "q"),
    ({"quality": "5"}, "quality"),
]


async def test_an_invalid_parameter_is_422_and_is_named(idle_service: Service) -> None:
    answers = [await idle_service.owner.get("/v1/images", params=wanted) for wanted, _ in BAD]
    anyone = await idle_service.anyone.get("/v1/images", params={"owner": "me"})

    assert [
        (wanted, answer.status_code, answer.json()["errors"][0]["pointer"].removeprefix("/query/"))
        for (wanted, _), answer in zip(BAD, answers, strict=True)
    ] == [(wanted, 422, name) for wanted, name in BAD]
    assert anyone.status_code == 401


async def test_a_changed_title_and_a_second_filename_are_found_at_once(idle_service: Service) -> None:
    data = jpeg(seed=1, size=(48, 48))
    sent = await send(idle_service, data, name=b"first.jpg")
    await send(idle_service, data, name=b"second.jpg", store_id="S5")

    await idle_service.owner.patch(sent["url"], json={"title": "Harbour", "description": "at dawn"})

    for wanted in ({"q": "harb"}, {"q": "DAWN"}, {"q": "first"}, {"q": "second"}, {"store_id": "S5"}):
        assert await found(idle_service.owner, **wanted) == [sent["image_id"]]


async def test_images_of_a_deleted_account_are_hidden_before_they_are_removed(
    idle_service: Service,
) -> None:
    async with People(idle_service) as people:
        ann = await people.new("ann")
        await send_as(ann, jpeg(seed=1, size=(48, 48)), visibility="public", store_id="S1")
        before = await found(idle_service.anyone)

        await idle_service.owner.delete(f"/v1/users/{ann.id}")

    assert len(before) == 1
    assert await found(idle_service.anyone) == await found(idle_service.owner, store_id="S1") == []
    assert await found(idle_service.owner, q="a") == await found(idle_service.owner, owner=ann.id) == []
