"""Links as their owners see them: read, listed, changed, revoked."""

import datetime as dt
import uuid
from typing import Any

from imagesvc.accounts.service import ADMIN_ID
from imagesvc.http.pagination import Cursors, fingerprint
from imagesvc.keyring import KeyRing
from tests.links.links import expire, moment, wrong_members
from tests.support.images import jpeg
from tests.support.service import Service

REFUSED_CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"expires_at": None}, "/expires_at"),
    ({"expires_at": moment(hours=2)}, "/expires_at"),
    ({"expires_at": moment(seconds=-1)}, "/expires_at"),
    ({"expires_at": "0001-01-01T00:00:00+12:00"}, "/expires_at"),
    ({"max_files": 0}, "/max_files"),
    ({"max_files": 1}, "/max_files"),
    ({"max_bytes": 9999}, "/max_bytes"),
    ({"max_file_bytes": 0}, "/max_file_bytes"),
    ({"label": ""}, "/label"),
    ({"label": "x" * 201}, "/label"),
    ({"visibility": "public"}, "/visibility"),
    ({"expires_in": 60}, "/expires_in"),
]


async def test_a_link_is_open_until_expires_at(idle_service: Service) -> None:
    link = await idle_service.new_link(expires_in=1)
    expires_at = dt.datetime.fromisoformat(link["expires_at"])

    while (answer := await idle_service.anyone.get(link["path"])).status_code == 200:
        pass

    assert answer.json()["type"] == "/problems/link-expired"
    assert dt.datetime.now(dt.UTC) >= expires_at


async def test_a_link_holder_sees_the_limits_and_nothing_about_the_owner(idle_service: Service) -> None:
    link = await idle_service.new_link(label="Stocktaking", max_files=3, max_bytes=10**6, store_id="S1")
    sent = jpeg(seed=1)
    await idle_service.anyone.put(f"{link['path']}/a.jpg", content=sent)

    answer = await idle_service.anyone.get(link["path"])

    invitation = answer.json()
    assert {name: value for name, value in invitation.items() if name not in ("accepted", "limits")} == {
        "label": "Stocktaking",
        "expires_at": link["expires_at"],
        "remaining": {"files": 2, "bytes": 10**6 - len(sent)},
        "max_file_bytes": idle_service.settings.max_file_bytes,
        "max_parts_per_request": idle_service.settings.max_parts,
    }
    assert {"image/jpeg", "image/heic", "image/avif"} <= set(invitation["accepted"])


async def test_links_are_listed_newest_first_page_by_page(idle_service: Service) -> None:
    made = [(await idle_service.new_link())["id"] for _ in range(5)]

    first = await idle_service.owner.get("/v1/links", params={"limit": 2})
    await idle_service.new_link()
    second = await idle_service.owner.get(first.headers["link"].partition(">")[0].removeprefix("<"))
    third = await idle_service.owner.get("/v1/links", params={"limit": 2, "cursor": second.json()["next_cursor"]})

    pages = [[item["id"] for item in answer.json()["items"]] for answer in (first, second, third)]
    assert pages == [made[4:2:-1], made[2:0:-1], made[0:1]]
    assert first.headers["link"].endswith('; rel="next"')
    assert (third.json()["next_cursor"], third.headers.get("link")) == (None, None)


async def test_a_forged_or_foreign_cursor_is_400(idle_service: Service) -> None:
    await idle_service.new_link()
    await idle_service.new_link()
    cursor = (await idle_service.owner.get("/v1/links", params={"limit": 1})).json()["next_cursor"]
    cursors = Cursors(KeyRing(idle_service.settings.signing_keys))
    of_another_caller = cursors.encode(fingerprint("links", uuid.uuid4(), {}), [uuid.uuid4()])
    of_another_list = cursors.encode(fingerprint("images", ADMIN_ID, {}), [uuid.uuid4()])
    tampered = [cursor[:-3], cursor[:10] + "AAAA" + cursor[14:], "x", "a" * 3000, "ü", "%00"]
    bad = [of_another_caller, of_another_list, *tampered]

    answers = [await idle_service.owner.get("/v1/links", params={"cursor": text}) for text in bad]

    assert [(answer.status_code, answer.json()["type"]) for answer in answers] == [
        (400, "/problems/malformed-request")
    ] * len(bad)


async def test_a_page_has_between_1_and_200_links(idle_service: Service) -> None:
    answers = {
        limit: (await idle_service.owner.get("/v1/links", params={"limit": limit})).status_code
        for limit in (0, 1, 200, 201, "x")
    }

    assert answers == {0: 422, 1: 200, 200: 200, 201: 422, "x": 422}


async def test_limits_cannot_go_below_use_and_the_lifetime_cannot_grow(idle_service: Service) -> None:
    link = await idle_service.new_link(max_files=10, label="old")
    path = f"/v1/links/{link['id']}"
    files = [jpeg(seed=seed) + bytes(5000 - len(jpeg(seed=seed, size=(64, 48)))) for seed in (1, 2)]
    await idle_service.anyone.put(f"{link['path']}/a.jpg", content=files[0])
    await idle_service.anyone.put(f"{link['path']}/b.jpg", content=files[1])
    used = (await idle_service.owner.get(path)).json()["used_bytes"]

    refused = [(change, await idle_service.owner.patch(path, json=change)) for change, _ in REFUSED_CHANGES]
    taken = await idle_service.owner.patch(path, json={"max_files": 2, "max_bytes": used, "label": None})
    shorter = await idle_service.owner.patch(path, json={"expires_at": moment(minutes=20)})

    assert [(change, wrong_members(answer)) for change, answer in refused] == [
        (change, (422, [pointer])) for change, pointer in REFUSED_CHANGES
    ]
    assert taken.status_code == 200
    assert (taken.json()["max_files"], taken.json()["label"], taken.json()["state"]) == (2, None, "used-up")
    assert dt.datetime.fromisoformat(shorter.json()["expires_at"]) == dt.datetime.fromisoformat(moment(minutes=20))


async def test_an_empty_change_changes_nothing(idle_service: Service) -> None:
    link = await idle_service.new_link(max_files=10, label="old")

    answer = await idle_service.owner.patch(f"/v1/links/{link['id']}", json={})

    assert answer.json() | {"path": link["path"]} == link


async def test_shortening_a_link_also_expires_the_tokens_already_given_out(idle_service: Service) -> None:
    link = await idle_service.new_link()
    soon = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)).isoformat()

    await idle_service.owner.patch(f"/v1/links/{link['id']}", json={"expires_at": soon})
    while (answer := await idle_service.anyone.get(link["path"])).status_code == 200:
        pass

    assert answer.json()["type"] == "/problems/link-expired"


async def test_a_link_is_used_up_expired_or_revoked(idle_service: Service) -> None:
    by_files, by_bytes, expired, revoked = [
        await idle_service.new_link(**limits) for limits in ({"max_files": 1}, {"max_bytes": 5000}, {}, {})
    ]
    data = jpeg(seed=1, size=(64, 48))
    await idle_service.anyone.put(f"{by_files['path']}/a.jpg", content=data)
    await idle_service.anyone.put(f"{by_bytes['path']}/a.jpg", content=data + bytes(5000 - len(data)))
    await expire(idle_service, expired)
    deleted = [await idle_service.owner.delete(f"/v1/links/{revoked['id']}") for _ in range(2)]

    links = [
        (await idle_service.owner.get(f"/v1/links/{link['id']}")).json()
        for link in (by_files, by_bytes, expired, revoked)
    ]

    assert [answer.status_code for answer in deleted] == [204, 204]
    assert [link["state"] for link in links] == ["used-up", "used-up", "expired", "revoked"]
    assert links[3]["revoked_at"] is not None


async def test_an_unknown_link_is_404_on_every_route(idle_service: Service) -> None:
    unknown = [f"/v1/links/{name}" for name in (uuid.uuid4(), "nonsense", "0", "..%2Flinks")]

    answers = [
        (
            await idle_service.owner.get(path),
            await idle_service.owner.patch(path, json={}),
            await idle_service.owner.delete(path),
        )
        for path in unknown
    ]

    assert [answer.status_code for three in answers for answer in three] == [404] * 12


async def test_the_routes_of_links_require_a_credential(idle_service: Service) -> None:
    wrong_token = {"Authorization": "Bearer " + "x" * 40}

    answers = [
        await idle_service.anyone.post("/v1/links", json={"expires_in": 60}),
        await idle_service.anyone.get("/v1/links"),
        await idle_service.anyone.get("/v1/links", headers=wrong_token),
        await idle_service.anyone.get("/v1/links", headers={"Cookie": "token=x"}),
        await idle_service.anyone.delete(f"/v1/links/{uuid.uuid4()}"),
    ]

    assert [answer.status_code for answer in answers] == [401] * 5
    assert all(answer.headers["www-authenticate"].startswith("Bearer") for answer in answers)
