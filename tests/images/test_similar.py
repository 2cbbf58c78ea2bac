"""Near-duplicates: altered copies are found, the nearest first, among the images that the caller may see."""

from collections.abc import AsyncIterator

import pytest
from PIL import ImageEnhance

from tests.images.uploads import send
from tests.support.images import encode, jpeg, picture, png
from tests.support.people import People
from tests.support.service import Service
from tests.support.sql import sql
from tests.support.wire import MULTIPART, field_part, file_part, form

SIZE = (320, 240)


@pytest.fixture
async def people(service: Service) -> AsyncIterator[People]:
    async with People(service) as people:
        yield people


def scaled(seed: int, size: tuple[int, int] = (160, 120)) -> bytes:
    return encode(picture(seed=seed, size=SIZE).resize(size), "JPEG", quality=85)


def brighter(seed: int) -> bytes:
    return encode(ImageEnhance.Brightness(picture(seed=seed, size=SIZE)).enhance(1.2), "JPEG", quality=85)


async def test_altered_copies_are_found_nearest_first_and_other_pictures_are_not(service: Service) -> None:
    original = await send(service, png(seed=1, size=SIZE))
    copies = [await send(service, data) for data in (jpeg(seed=1, size=SIZE, quality=30), scaled(1), brighter(1))]
    others = [await send(service, jpeg(seed=seed, size=SIZE)) for seed in range(2, 6)]
    for one in (original, *copies, *others):
        await service.image_of(one)

    answer = await service.owner.get(f"{original['url']}/similar")
    exact = await service.owner.get(f"{original['url']}/similar", params={"max_distance": 0})

    items = answer.json()["items"]
    assert {item["id"] for item in items} == {one["image_id"] for one in copies}
    assert [item["distance"] for item in items] == sorted(item["distance"] for item in items)
    assert items[0]["renditions"][0]["preset"] == "thumb"
    assert [item["distance"] for item in exact.json()["items"]] == [0] * len(exact.json()["items"])


async def test_images_that_the_caller_may_not_see_are_404_and_not_found(service: Service, people: People) -> None:
    ann, bob = await people.new("ann"), await people.new("bob")
    mine = (
        await ann.client.post("/v1/images", content=form(file_part(png(seed=1, size=SIZE))), headers=MULTIPART)
    ).json()
    secret = await send(service, jpeg(seed=1, size=SIZE))
    shown = await send(service, scaled(1), visibility="public")
    url = mine["results"][0]["url"]
    await ann.client.get(url, params={"wait": 30})
    for one in (secret, shown):
        await service.image_of(one)

    found = await ann.client.get(f"{url}/similar")
    by_admin = await service.owner.get(f"{url}/similar")
    by_bob = await bob.client.get(f"{url}/similar")
    by_anyone = await service.anyone.get(f"{url}/similar")
    of_public = await service.anyone.get(f"{shown['url']}/similar")

    assert [(item["id"], item["sha256"]) for item in found.json()["items"]] == [(shown["image_id"], None)]
    assert {item["id"] for item in by_admin.json()["items"]} == {shown["image_id"], secret["image_id"]}
    assert (by_bob.status_code, by_anyone.status_code) == (404, 404)
    assert (of_public.status_code, of_public.json()) == (200, {"items": []})


async def test_at_most_12_images_are_returned_and_max_distance_is_0_to_16(service: Service) -> None:
    sent = [await send(service, scaled(1, (200 + n, 150 + n))) for n in range(14)]
    for one in sent:
        await service.image_of(one)
    url = f"{sent[0]['url']}/similar"

    answer = await service.owner.get(url)
    distances = [await service.owner.get(url, params={"max_distance": value}) for value in ("16", "17", "-1", "near")]

    assert len(answer.json()["items"]) == 12
    assert [answer.status_code for answer in distances] == [200, 422, 422, 422]
    assert distances[1].json()["errors"][0]["pointer"] == "/query/max_distance"


async def test_a_pending_image_has_no_near_duplicates_even_if_its_content_is_known(
    service: Service, people: People
) -> None:
    data = jpeg(seed=1, size=SIZE)
    known = await send(service, data, visibility="public")
    await service.image_of(known)
    await service.stop_worker()
    ann = await people.new("ann")

    body = form(field_part("visibility", b"public"), file_part(data))
    sent = (await ann.client.post("/v1/images", content=body, headers=MULTIPART)).json()["results"][0]
    new = await ann.client.get(f"{sent['url']}/similar")
    of_known = await service.anyone.get(f"{known['url']}/similar")
    shown = (await ann.client.get(sent["url"])).json()

    assert (new.json(), of_known.json()) == ({"items": []}, {"items": []})
    assert (shown["state"], shown["width"], shown["score"], shown["perceptual_hash"]) == ("pending", None, None, None)
    assert shown["renditions"] == []


async def test_deleting_an_image_deletes_the_hash_of_its_blob(service: Service) -> None:
    sent = await send(service, jpeg(seed=1, size=SIZE))
    await service.image_of(sent)
    before = await sql(service, "SELECT count(*) AS hashes FROM perceptual_hashes")

    await service.owner.delete(sent["url"])

    assert before == [{"hashes": 1}]
    assert await sql(service, "SELECT count(*) AS hashes FROM perceptual_hashes") == [{"hashes": 0}]
