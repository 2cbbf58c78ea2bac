"""API keys: shown once, limited by the role of their account, and revoked at once."""

import re
import uuid
from hashlib import sha256
from typing import Any

from tests.support.images import jpeg
from tests.support.people import People
from tests.support.sql import sql

PICTURE = [("file", ("a.jpg", jpeg(seed=1, size=(64, 48))))]


async def test_a_key_is_shown_once_and_stored_as_its_hash(idle_people: People) -> None:
    ann = await idle_people.new("ann")

    made = await ann.client.post("/v1/api-keys", json={"name": " till 4 ", "scopes": ["upload", "read", "upload"]})
    listed = await ann.client.get("/v1/api-keys")

    key = made.json()["key"]
    rows = await sql(idle_people.service, "SELECT digest, api_keys::text AS row FROM api_keys")
    assert re.fullmatch(r"imagesvc_[\w-]{43}", key)
    assert made.headers["cache-control"] == "no-store"
    assert listed.json()["items"] == [{name: value for name, value in made.json().items() if name != "key"}]
    assert (made.json()["name"], made.json()["scopes"]) == ("till 4", ["read", "upload"])
    assert key.startswith(made.json()["prefix"])
    assert len(made.json()["prefix"]) == len("imagesvc_") + 8
    assert rows[0]["digest"] == sha256(key.encode()).digest()
    assert key not in rows[0]["row"]


async def test_the_scopes_of_a_key_limit_its_requests(idle_people: People) -> None:
    ann = await idle_people.new("ann")
    uploads = await idle_people.holding((await idle_people.new_key(ann, "upload"))["key"])
    reads = await idle_people.holding((await idle_people.new_key(ann, "read"))["key"])

    sent = await uploads.post("/v1/images", files=PICTURE)
    url = sent.json()["results"][0]["url"]

    assert sent.status_code == 201
    assert [(await client.get(url)).status_code for client in (uploads, reads)] == [403, 200]
    assert (await reads.post("/v1/images", files=PICTURE)).status_code == 403
    assert (await uploads.post("/v1/links", json={"expires_in": 60})).status_code == 403
    assert (await uploads.get("/v1/users/me")).json()["scopes"] == ["upload"]


async def test_a_key_cannot_create_list_or_revoke_keys(idle_people: People) -> None:
    ann = await idle_people.new("ann", role="admin")
    made = await idle_people.new_key(ann, "upload", "read", "links", "stats", "admin")
    key = await idle_people.holding(made["key"])

    refused = [
        await key.post("/v1/api-keys", json={"name": "another", "scopes": ["upload"]}),
        await key.get("/v1/api-keys"),
        await key.delete(f"/v1/api-keys/{made['id']}"),
    ]

    assert [(answer.status_code, answer.json()["type"]) for answer in refused] == [
        (403, "/problems/not-with-a-key")
    ] * 3


async def test_the_admin_token_creates_keys_of_the_built_in_account(idle_people: People) -> None:
    admin = idle_people.service.owner

    made = await admin.post("/v1/api-keys", json={"name": "grafana", "scopes": ["stats"]})
    key = await idle_people.holding(made.json()["key"])

    assert (await key.get("/v1/stats")).status_code == 200
    assert (await key.get("/v1/users")).status_code == 403


async def test_a_member_cannot_create_a_key_beyond_its_role(idle_people: People) -> None:
    ann = await idle_people.new("ann")

    answer = await ann.client.post("/v1/api-keys", json={"name": "x", "scopes": ["stats", "read", "admin"]})

    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/scope-beyond-role")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/scopes/0", "/scopes/2"]


async def test_a_key_loses_scopes_that_its_account_lost(idle_people: People) -> None:
    ann, admin = await idle_people.new("ann", role="admin"), idle_people.service.owner
    key = await idle_people.holding((await idle_people.new_key(ann, "stats", "admin", "read"))["key"])

    as_admin = await key.get("/v1/stats")
    await admin.patch(f"/v1/users/{ann.id}", json={"role": "member"})
    as_member = await key.get("/v1/stats")

    assert [as_admin.status_code, as_member.status_code] == [200, 403]
    assert (await key.get("/v1/users/me")).json()["scopes"] == ["read"]


async def test_a_revoked_key_stops_at_once(idle_people: People) -> None:
    ann = await idle_people.new("ann")
    made = await idle_people.new_key(ann, "read")
    key = await idle_people.holding(made["key"])
    before = await key.get("/v1/users/me")

    revoked = await ann.client.delete(f"/v1/api-keys/{made['id']}")
    after = await key.get("/v1/users/me")

    assert [before.status_code, revoked.status_code, after.status_code] == [200, 204, 401]
    assert after.json()["type"] == "/problems/bad-api-key"
    assert (await ann.client.delete(f"/v1/api-keys/{made['id']}")).status_code == 404


async def test_a_key_stops_while_its_account_is_disabled(idle_people: People) -> None:
    ann, admin = await idle_people.new("ann"), idle_people.service.owner
    key = await idle_people.holding((await idle_people.new_key(ann, "read"))["key"])

    await admin.patch(f"/v1/users/{ann.id}", json={"disabled": True})
    disabled = await key.get("/v1/users/me")
    await admin.patch(f"/v1/users/{ann.id}", json={"disabled": False})
    enabled = await key.get("/v1/users/me")

    assert [disabled.status_code, enabled.status_code] == [401, 200]


async def test_an_expired_key_is_401_with_its_own_problem(idle_people: People) -> None:
    ann = await idle_people.new("ann")
    made = await idle_people.new_key(ann, "read", expires_in=3600)
    key = await idle_people.holding(made["key"])
    before = await key.get("/v1/users/me")

    await sql(idle_people.service, "UPDATE api_keys SET expires_at = now()")
    after = await key.get("/v1/users/me")

    assert before.status_code == 200
    assert (after.status_code, after.json()["type"]) == (401, "/problems/api-key-expired")


async def test_the_last_use_is_recorded_at_most_once_a_minute(idle_people: People) -> None:
    ann, service = await idle_people.new("ann"), idle_people.service
    key = await idle_people.holding((await idle_people.new_key(ann, "read"))["key"])

    async def last_use() -> Any:
        return (await ann.client.get("/v1/api-keys")).json()["items"][0]["last_used_at"]

    never = await last_use()
    await key.get("/v1/users/me")
    first = await last_use()
    await key.get("/v1/users/me")
    again = await last_use()
    await sql(service, "UPDATE api_keys SET last_used_at = last_used_at - interval '61 seconds'")
    await key.get("/v1/users/me")
    later = await last_use()

    assert never is None
    assert first == again
    assert later > first


async def test_a_key_of_another_account_is_404(idle_people: People) -> None:
    ann, bob = await idle_people.new("ann"), await idle_people.new("bob", role="admin")
    made = await idle_people.new_key(ann, "read")
    key = await idle_people.holding(made["key"])

    answer = await bob.client.delete(f"/v1/api-keys/{made['id']}")

    assert answer.status_code == 404
    assert (await bob.client.get("/v1/api-keys")).json()["items"] == []
    assert (await key.get("/v1/users/me")).status_code == 200


BODIES: list[tuple[dict[str, Any], str]] = [
    ({"name": "x", "scopes": ["upload", "everything"]}, "/scopes/1"),
    ({"name": "x", "scopes": []}, "/scopes"),
    ({"name": "x", "scopes": "upload"}, "/scopes"),
    ({"name": "x"}, "/scopes"),
    ({"scopes": ["upload"]}, "/name"),
    ({"name": "  ", "scopes": ["upload"]}, "/name"),
    ({"name": "x" * 101, "scopes": ["upload"]}, "/name"),
    ({"name": "a\x00b", "scopes": ["upload"]}, "/name"),
    ({"name": "x", "scopes": ["upload"], "expires_in": 0}, "/expires_in"),
    ({"name": "x", "scopes": ["upload"], "expires_in": -5}, "/expires_in"),
    ({"name": "x", "scopes": ["upload"], "expires_in": 1e30}, "/expires_in"),
    ({"name": "x", "scopes": ["upload"], "expires_in": True}, "/expires_in"),
    ({"name": "x", "scopes": ["upload"], "expires_at": "2030-01-01T00:00:00Z"}, "/expires_at"),
]


async def test_an_invalid_new_key_is_refused_with_pointers(idle_people: People) -> None:
    ann = await idle_people.new("ann")

    answers = [await ann.client.post("/v1/api-keys", json=body) for body, _ in BODIES]

    assert {answer.status_code for answer in answers} == {422}
    assert [[error["pointer"] for error in answer.json()["errors"]] for answer in answers] == [
        [pointer] for _, pointer in BODIES
    ]


async def test_keys_are_listed_in_pages_newest_first(idle_people: People) -> None:
    ann = await idle_people.new("ann")
    made = [(await idle_people.new_key(ann, "read"))["id"] for _ in range(3)]

    first = (await ann.client.get("/v1/api-keys", params={"limit": 2})).json()
    last = (await ann.client.get("/v1/api-keys", params={"limit": 2, "cursor": first["next_cursor"]})).json()

    assert [key["id"] for key in first["items"] + last["items"]] == made[::-1]
    assert last["next_cursor"] is None


async def test_an_unknown_key_is_401(idle_people: People) -> None:
    keys = ["imagesvc_", "imagesvc_" + "A" * 43, "imagesvc_\xff", "IMAGESVC_" + "A" * 43]
    headers = [{b"Authorization": f"Bearer {key}".encode("latin-1")} for key in keys]

    answers = [await idle_people.service.anyone.get(f"/v1/images/{uuid.uuid4()}", headers=sent) for sent in headers]

    assert [answer.status_code for answer in answers] == [401] * 4
