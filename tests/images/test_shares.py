"""Shares: a URL that shows one image until the share expires or is withdrawn, or its image or owner is deleted."""

import httpx

from tests.images.uploads import send
from tests.support.images import jpeg
from tests.support.people import People
from tests.support.service import Service
from tests.support.sql import sql

SIZE = (96, 72)


async def share(client: httpx.AsyncClient, url: str, **wanted: object) -> dict[str, str]:
    answer = await client.post(f"{url}/shares", json={"expires_in": 600, **wanted})
    assert answer.status_code == 201, answer.text
    body: dict[str, str] = answer.json()
    return body


async def test_a_share_shows_one_rendition_or_the_original_and_nothing_else(service: Service) -> None:
    data = jpeg(seed=1, size=SIZE)
    sent = await send(service, data, name=b"party.jpg")
    await service.image_of(sent)

    large = await service.anyone.get((await share(service.owner, sent["url"]))["url"])
    small = await service.anyone.get((await share(service.owner, sent["url"], what="thumb.jpg"))["url"])
    whole_url = (await share(service.owner, sent["url"], what="original"))["url"]
    whole = await service.anyone.get(whole_url)
    part = await service.anyone.get(whole_url, headers={"Range": "bytes=0-9"})
    known = await service.anyone.get(whole_url, headers={"If-None-Match": whole.headers["etag"]})
    head = await service.anyone.head(whole_url)
    image = await service.anyone.get(sent["url"])

    assert [answer.headers["content-type"] for answer in (large, small, whole)] == [
        "image/webp",
        "image/jpeg",
        "image/jpeg",
    ]
    assert whole.content == data
    assert "party.jpg" in whole.headers["content-disposition"]
    assert (part.status_code, part.content, known.status_code) == (206, data[:10], 304)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(data)), b"")
    assert {answer.headers["cache-control"] for answer in (large, small, whole)} == {"private, no-cache"}
    assert {answer.headers["referrer-policy"] for answer in (large, small, whole)} == {"no-referrer"}
    assert whole.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert image.status_code == 404


async def test_a_share_ends_when_expired_withdrawn_image_deleted_or_owner_disabled(service: Service) -> None:
    async with People(service) as people:
        ann, bob = await people.new("ann"), await people.new("bob")
        images = []
        for seed in range(4):
            files = [("file", ("a.jpg", jpeg(seed=seed, size=SIZE)))]
            client = bob.client if seed == 3 else ann.client
            images.append((await client.post("/v1/images", files=files)).json()["results"][0]["url"])
        shares = [
            await share(bob.client if at == 3 else ann.client, url, what="original") for at, url in enumerate(images)
        ]

        async def shown() -> list[int]:
            return [(await service.anyone.get(one["url"])).status_code for one in shares]

        before = await shown()
        await sql(service, f"UPDATE shares SET expires_at = now() WHERE id = '{shares[0]['id']}'")
        await ann.client.delete(images[1])
        withdrawn = await ann.client.delete(f"{images[2]}/shares/{shares[2]['id']}")
        await service.owner.patch(f"/v1/users/{bob.id}", json={"disabled": True})
        after = await shown()
        listed = (await ann.client.get(f"{images[0]}/shares")).json()["items"]
        await service.owner.patch(f"/v1/users/{bob.id}", json={"disabled": False})
        enabled_again = (await shown())[3]

    assert before == [200] * 4
    assert withdrawn.status_code == 204
    assert after == [410] * 4
    assert enabled_again == 200
    assert [(one["id"], one["state"], one["what"]) for one in listed] == [(shares[0]["id"], "expired", "original")]


async def test_invalid_shares_are_422_and_forged_tokens_are_401(idle_service: Service) -> None:
    sent = await send(idle_service, jpeg(seed=1, size=SIZE))
    max_seconds = idle_service.settings.share_max_seconds
    bad = [
        {"expires_in": 0},
        {"expires_in": max_seconds + 1},
        {"expires_in": 60.5},
        {"expires_in": 60, "what": "huge"},
        {"expires_in": 60, "what": "thumb.gif"},
        {"expires_in": 60, "what": "original.jpg"},
        {},
    ]

    answers = [await idle_service.owner.post(f"{sent['url']}/shares", json=wanted) for wanted in bad]
    longest = await share(idle_service.owner, sent["url"], expires_in=max_seconds)
    forged = [await idle_service.anyone.get(f"/s/{token}") for token in ("x", longest["url"][3:-2] + "AA")]

    assert [(answer.status_code, answer.json()["errors"][0]["pointer"]) for answer in answers] == [
        *[(422, "/expires_in")] * 3,
        *[(422, "/what")] * 3,
        (422, "/expires_in"),
    ]
    assert [answer.status_code for answer in forged] == [401, 401]


async def test_a_share_of_a_rejected_image_shows_only_the_original(service: Service) -> None:
    data = jpeg(seed=1, size=(640, 480))[:5000]
    sent = await send(service, data)
    assert (await service.image_of(sent))["state"] == "rejected"

    rendition = await service.anyone.get((await share(service.owner, sent["url"]))["url"])
    original = await service.anyone.get((await share(service.owner, sent["url"], what="original"))["url"])

    assert (rendition.status_code, original.status_code, original.content) == (409, 200, data)
