"""Changes of an image: which members, by whom, and under the condition that it has not changed."""

import asyncio
from collections import Counter
from typing import Any

from tests.images.uploads import send
from tests.support.images import jpeg
from tests.support.people import People
from tests.support.service import Service

SMALL = (48, 48)


async def test_a_change_affects_only_title_description_and_visibility(idle_service: Service) -> None:
    sent = await send(idle_service, jpeg(seed=1, size=SMALL), description="old")
    before = (await idle_service.owner.get(sent["url"])).json()

    changed = await idle_service.owner.patch(
        sent["url"], json={"title": " New ", "description": "", "visibility": "public"}
    )
    untouched = await idle_service.owner.patch(sent["url"], json={})
    read = await idle_service.owner.get(sent["url"])

    assert changed.json() == before | {"title": "New", "description": None, "visibility": "public"}
    assert changed.json() == untouched.json() == read.json()
    assert changed.headers["etag"] == read.headers["etag"]


INVALID_CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"title": ""}, "/title"),
    ({"title": "   "}, "/title"),
    ({"title": None}, "/title"),
    ({"title": "a" * 301}, "/title"),
    ({"title": "a\x00"}, "/title"),
    ({"title": 5}, "/title"),
    ({"description": "a" * 5001}, "/description"),
    ({"description": "\x00"}, "/description"),
    ({"visibility": "shared"}, "/visibility"),
    ({"visibility": None}, "/visibility"),
    ({"state": "ready"}, "/state"),
    ({"owner_id": "0199a000-0000-7000-8000-000000000000"}, "/owner_id"),
]


async def test_an_invalid_change_is_422_with_a_pointer_and_changes_nothing(idle_service: Service) -> None:
    sent = await send(idle_service, jpeg(seed=1, size=SMALL))
    before = (await idle_service.owner.get(sent["url"])).json()

    answers = [await idle_service.owner.patch(sent["url"], json=wanted) for wanted, _ in INVALID_CHANGES]
    longest = await idle_service.owner.patch(sent["url"], json={"title": "ä" * 300, "description": "ä" * 5000})
    surrogate = await idle_service.owner.patch(
        sent["url"], content=b'{"title": "\\ud800"}', headers={"Content-Type": "application/json"}
    )

    assert [(answer.status_code, answer.json()["errors"][0]["pointer"]) for answer in answers] == [
        (422, pointer) for _, pointer in INVALID_CHANGES
    ]
    assert surrogate.status_code in (400, 422)
    assert longest.json() == before | {"title": "ä" * 300, "description": "ä" * 5000}


async def test_of_concurrent_changes_with_the_same_tag_one_succeeds(idle_service: Service) -> None:
    sent = await send(idle_service, jpeg(seed=1, size=SMALL))
    etag = (await idle_service.owner.get(sent["url"])).headers["etag"]

    answers = await asyncio.gather(
        *(
            idle_service.owner.patch(sent["url"], json={"title": f"title {n}"}, headers={"If-Match": etag})
            for n in range(8)
        )
    )
    stale = await idle_service.owner.delete(sent["url"], headers={"If-Match": etag})
    fresh = (await idle_service.owner.get(sent["url"])).headers["etag"]
    any_version = await idle_service.owner.patch(sent["url"], json={"title": "any"}, headers={"If-Match": "*"})
    deleted = await idle_service.owner.delete(sent["url"], headers={"If-Match": any_version.headers["etag"]})

    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 7}
    assert (stale.status_code, stale.headers["etag"]) == (412, fresh)
    assert (any_version.status_code, deleted.status_code) == (200, 204)


async def test_a_change_requires_the_scopes_read_and_upload(idle_service: Service) -> None:
    async with People(idle_service) as people:
        ann = await people.new("ann")
        sent = (await ann.client.post("/v1/images", files=[("file", ("a.jpg", jpeg(seed=1, size=SMALL)))])).json()[
            "results"
        ][0]
        by_scopes = {
            scopes: await people.holding((await people.new_key(ann, *scopes))["key"])
            for scopes in (("read",), ("upload",), ("read", "upload"))
        }

        changes = {
            scopes: (await client.patch(sent["url"], json={"title": "x"})).status_code
            for scopes, client in by_scopes.items()
        }
        searches = {scopes: (await client.get("/v1/images")).status_code for scopes, client in by_scopes.items()}
        reader = by_scopes["read",]
        deleted = (await reader.delete(sent["url"])).status_code

    assert changes == {("read",): 403, ("upload",): 403, ("read", "upload"): 200}
    assert searches == {("read",): 200, ("upload",): 403, ("read", "upload"): 200}
    assert deleted == 403
