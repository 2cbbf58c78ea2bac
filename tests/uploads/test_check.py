"""Checks before sending: which contents are known, without revealing those of others (invariant 5)."""

from hashlib import sha256
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from tests.links.links import expire
from tests.support.images import jpeg
from tests.support.people import People
from tests.support.service import Service
from tests.uploads.ways_in import verdict

OF_OWNER, OF_ANN, OF_LINK, NOBODYS = (jpeg(seed=seed, size=(64, 48)) for seed in range(4))
ALL = [sha256(data).hexdigest() for data in (OF_OWNER, OF_ANN, OF_LINK, NOBODYS)]


async def send(client: httpx.AsyncClient, data: bytes, **fields: str) -> dict[str, Any]:
    answer = await client.post("/v1/images", files=[("file", ("a.jpg", data))], data=fields)
    result: dict[str, Any] = answer.json()["results"][0]
    return result


async def asked(client: httpx.AsyncClient, path: str, hashes: list[str]) -> Any:
    answer = await client.post(f"{path}/check", json={"sha256": hashes})
    assert answer.status_code == 200, answer.text
    return answer.json()["have"]


async def test_a_check_shows_own_images_or_those_of_the_link(idle_service: Service) -> None:
    async with People(idle_service) as people:
        ann = await people.new("ann")
        first, second = await idle_service.new_link(), await idle_service.new_link()
        own = await send(idle_service.owner, OF_OWNER)
        of_ann = await send(ann.client, OF_ANN, visibility="public")
        sent = await idle_service.anyone.put(f"{first['path']}/a.jpg", content=OF_LINK)
        await idle_service.anyone.put(f"{first['path']}/b.jpg", content=OF_OWNER)
        through_link = (await idle_service.owner.get(f"/v1/uploads/{sent.json()['results'][0]['upload_id']}")).json()

        reported = {
            "owner": await asked(idle_service.owner, "/v1/images", [hash.upper() for hash in ALL]),
            "ann": await asked(ann.client, "/v1/images", ALL),
            "first": sorted(await asked(idle_service.anyone, first["path"], ALL)),
            "second": await asked(idle_service.anyone, second["path"], ALL),
        }

    assert reported == {
        "owner": {ALL[0]: own["image_id"], ALL[2]: through_link["image"]["id"]},
        "ann": {ALL[1]: of_ann["image_id"]},
        "first": sorted([ALL[0], ALL[2]]),
        "second": [],
    }


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE images SET state = 'failed', problem = '{}'",
        "UPDATE blobs SET state = 'failed', problem = '{}'",
        "UPDATE blobs SET object_lost = true",
    ],
)
async def test_failed_and_lost_content_must_be_sent_again(idle_service: Service, harm: str) -> None:
    await send(idle_service.owner, OF_OWNER)
    async with idle_service.background.servers.database.sessions.begin() as session:
        await session.execute(text(harm))

    assert await asked(idle_service.owner, "/v1/images", ALL) == {}


async def test_a_link_requests_a_failed_file_again(idle_service: Service) -> None:
    link = await idle_service.new_link()
    await idle_service.anyone.put(f"{link['path']}/a.jpg", content=OF_LINK)
    before = await asked(idle_service.anyone, link["path"], ALL)
    async with idle_service.background.servers.database.sessions.begin() as session:
        await session.execute(text("UPDATE images SET state = 'failed', problem = '{}'"))
        await session.execute(text("UPDATE uploads SET settled = true"))

    assert before == [ALL[2]]
    assert await asked(idle_service.anyone, link["path"], ALL) == []


async def test_a_deleted_image_has_to_be_sent_again(idle_service: Service) -> None:
    sent = await send(idle_service.owner, OF_OWNER)
    await idle_service.owner.delete(f"/v1/images/{sent['image_id']}")

    assert await asked(idle_service.owner, "/v1/images", ALL) == {}


async def test_a_check_of_1000_hashes_is_accepted_and_of_1001_refused(idle_service: Service) -> None:
    link = await idle_service.new_link()
    hashes = [sha256(str(number).encode()).hexdigest() for number in range(1001)]
    doors = ((idle_service.owner, "/v1/images"), (idle_service.anyone, link["path"]))

    most = [len(await asked(client, path, hashes[:1000])) for client, path in doors]
    more = [await client.post(f"{path}/check", json={"sha256": hashes}) for client, path in doors]

    assert most == [0, 0]
    assert [answer.status_code for answer in more] == [422, 422]


@pytest.mark.parametrize("wrong", ["", "zz" * 32, "a" * 63, "a" * 65, "a" * 63 + "\x00", 5])
async def test_an_invalid_hash_is_422(idle_service: Service, wrong: object) -> None:
    answer = await idle_service.owner.post("/v1/images/check", json={"sha256": [ALL[0], wrong]})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].endswith("/sha256/1")


async def test_a_check_requires_the_scope_to_upload(idle_service: Service) -> None:
    expired, revoked = await idle_service.new_link(), await idle_service.new_link()
    await expire(idle_service, expired)
    await idle_service.owner.delete(f"/v1/links/{revoked['id']}")
    async with People(idle_service) as people:
        ann = await people.new("ann")
        key = await people.new_key(ann, "links")
        without = await people.holding(key["key"])

        answers = [
            await idle_service.anyone.post("/v1/images/check", json={"sha256": ALL}),
            await without.post("/v1/images/check", json={"sha256": ALL}),
            await idle_service.anyone.post(f"{expired['path']}/check", json={"sha256": ALL}),
            await idle_service.anyone.post(f"{revoked['path']}/check", json={"sha256": ALL}),
            await idle_service.anyone.post("/u/forged/check", json={"sha256": ALL}),
        ]

    assert [answer.status_code for answer in answers] == [401, 403, 410, 410, 401]
    assert verdict(answers[2])[1] == "link-expired"
