"""Accounts: who may create, read, change and delete them, and which names and passwords are refused."""

import time
from typing import Any

import httpx
import jwt
import pytest

from imagesvc.accounts.service import ADMIN_ID
from imagesvc.keyring import KeyRing
from tests.support.people import People, Person

GOOD = "a long sentence of my own"


def pointers(answer: httpx.Response) -> list[str]:
    return [error["pointer"] for error in answer.json()["errors"]]


async def old_login(people: People, person: Person) -> httpx.AsyncClient:
    """A client whose token was issued an hour ago."""
    kid, key = KeyRing(people.service.settings.signing_keys).signing("access")
    claims = jwt.decode(person.token, options={"verify_signature": False}) | {"iat": int(time.time()) - 3600}
    return await people.holding(jwt.encode(claims, key, algorithm="HS256", headers={"kid": kid, "typ": "at+jwt"}))


async def test_an_admin_creates_accounts_and_lists_all(idle_people: People) -> None:
    admin = idle_people.service.owner

    made = await admin.post("/v1/users", json={"account": " Ann ", "password": GOOD, "role": "admin"})
    plain = await admin.post("/v1/users", json={"account": "Bob", "password": GOOD})
    listed = (await admin.get("/v1/users")).json()["items"]
    one = await admin.get(f"/v1/users/{made.json()['id']}")

    assert [made.status_code, plain.status_code] == [201, 201]
    assert [(user["account"], user["role"], user["disabled"]) for user in listed] == [
        ("admin", "admin", False),
        ("Ann", "admin", False),
        ("Bob", "member", False),
    ]
    assert one.json() == listed[1] == made.json()
    assert "password" not in made.text


async def test_accounts_are_listed_in_pages(idle_people: People) -> None:
    admin = idle_people.service.owner
    for account in ("ann", "bob", "eve"):
        await admin.post("/v1/users", json={"account": account, "password": GOOD})

    first = await admin.get("/v1/users", params={"limit": 3})
    last = await admin.get("/v1/users", params={"limit": 3, "cursor": first.json()["next_cursor"]})

    assert [user["account"] for user in first.json()["items"]] == ["admin", "ann", "bob"]
    assert 'rel="next"' in first.headers["link"]
    assert [user["account"] for user in last.json()["items"]] == ["eve"]
    assert last.json()["next_cursor"] is None


async def test_an_invalid_limit_or_cursor_is_refused(idle_people: People) -> None:
    queries: list[dict[str, Any]] = [{"limit": 0}, {"limit": 201}, {"cursor": "abc"}]

    answers = [await idle_people.service.owner.get("/v1/users", params=query) for query in queries]

    assert [answer.status_code for answer in answers] == [422, 422, 400]


WEAK = [
    "",
    "short",
    "nine char",
    "1234567890",
    "Password123",
    "QWERTYuiop",
    "aaaaaaaaaaaaaaa",
    "abababababab",
    "Margarete Ann",
    "margarete ann ",
    "x" * 1001,
    "ｐａｓｓｗｏｒｄ１２３",
]


async def test_a_weak_password_is_refused_without_being_repeated(idle_people: People) -> None:
    admin = idle_people.service.owner

    answers = [
        await admin.post("/v1/users", json={"account": "Margarete Ann", "password": password}) for password in WEAK
    ]

    refusals = {(answer.status_code, answer.json()["type"], *pointers(answer)) for answer in answers}
    assert refusals == {(422, "/problems/weak-password", "/password")}
    assert [
        password for password, answer in zip(WEAK, answers, strict=True) if password and password in answer.text
    ] == []


STRONG = [
    "correct horse battery",
    "zehn zeich",
    "ünïcödé wörds",
    "x1" * 5 + "y2",
    "\U0001f40e\U0001f50b\U0001f4ce and some",
]


async def test_a_long_uncommon_password_is_accepted(idle_people: People) -> None:
    admin = idle_people.service.owner

    made = [
        await admin.post("/v1/users", json={"account": f"ann {n}", "password": password})
        for n, password in enumerate(STRONG)
    ]
    answers = [await idle_people.log_in(f"ann {n}", password) for n, password in enumerate(STRONG)]

    assert [answer.status_code for answer in made + answers] == [201] * len(STRONG) + [200] * len(STRONG)


async def test_an_account_name_is_unique_regardless_of_case(idle_people: People) -> None:
    admin = idle_people.service.owner
    await admin.post("/v1/users", json={"account": "Ann", "password": GOOD})

    answers = [
        await admin.post("/v1/users", json={"account": account, "password": GOOD})
        for account in ("ann", "ANN", " Ann ", "admin", "Admin")
    ]

    refusals = {(answer.status_code, answer.json()["type"], *pointers(answer)) for answer in answers}
    assert refusals == {(409, "/problems/account-taken", "/account")}


BODIES: list[tuple[dict[str, Any], str]] = [
    ({"account": "a", "password": GOOD}, "/account"),
    ({"account": "   a   ", "password": GOOD}, "/account"),
    ({"account": "x" * 65, "password": GOOD}, "/account"),
    ({"account": "an\x00n", "password": GOOD}, "/account"),
    ({"account": "an\u202en", "password": GOOD}, "/account"),
    ({"account": "an\nn", "password": GOOD}, "/account"),
    ({"account": 17, "password": GOOD}, "/account"),
    ({"password": GOOD}, "/account"),
    ({"account": "ann"}, "/password"),
    ({"account": "ann", "password": None}, "/password"),
    ({"account": "ann", "password": GOOD, "role": "root"}, "/role"),
    ({"account": "ann", "password": GOOD, "scopes": ["admin"]}, "/scopes"),
]


async def test_an_invalid_new_account_is_refused_with_pointers(idle_people: People) -> None:
    answers = [await idle_people.service.owner.post("/v1/users", json=body) for body, _ in BODIES]

    assert {answer.status_code for answer in answers} == {422}
    assert [pointers(answer) for answer in answers] == [[pointer] for _, pointer in BODIES]
    assert [answer.text for answer in answers if GOOD in answer.text] == []


async def test_a_lone_surrogate_is_refused(idle_people: People) -> None:
    answers = [
        await idle_people.service.owner.post("/v1/users", content=body, headers={"Content-Type": "application/json"})
        for body in (
            rb'{"account": "an\ud800n", "password": "a long sentence of my own"}',
            rb'{"account": "ann", "password": "a long \ud800 sentence"}',
        )
    ]

    assert [answer.status_code for answer in answers] == [422, 422]


async def test_a_member_can_read_and_change_only_itself(idle_people: People) -> None:
    ann, bob = await idle_people.new("ann"), await idle_people.new("bob")

    own = await ann.client.get(f"/v1/users/{ann.id}")
    refused = [
        await ann.client.post("/v1/users", json={"account": "eve", "password": GOOD}),
        await ann.client.get("/v1/users"),
        await ann.client.get(f"/v1/users/{bob.id}"),
        await ann.client.patch(f"/v1/users/{bob.id}", json={"password": GOOD}),
        await ann.client.delete(f"/v1/users/{bob.id}"),
    ]

    assert own.json()["account"] == "ann"
    assert [answer.status_code for answer in refused] == [403, 403, 404, 404, 404]
    assert (await bob.client.get("/v1/users/me")).status_code == 200


@pytest.mark.parametrize(("change", "pointer"), [({"role": "admin"}, "/role"), ({"disabled": False}, "/disabled")])
async def test_a_member_cannot_give_itself_rights(idle_people: People, change: dict[str, Any], pointer: str) -> None:
    ann = await idle_people.new("ann")

    answer = await ann.client.patch(f"/v1/users/{ann.id}", json=change | {"password": GOOD})

    assert answer.status_code == 403
    assert pointers(answer) == [pointer]
    assert (await ann.client.get("/v1/users/me")).json()["role"] == "member"


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"role": None}, "/role"),
    ({"password": None}, "/password"),
    ({"disabled": None}, "/disabled"),
    ({"disabled": "perhaps"}, "/disabled"),
    ({"account": "new"}, "/account"),
    ({"password": "short"}, "/password"),
]


async def test_an_invalid_change_is_refused_with_pointers(idle_people: People) -> None:
    ann = await idle_people.new("ann")

    answers = [await idle_people.service.owner.patch(f"/v1/users/{ann.id}", json=change) for change, _ in CHANGES]

    assert {answer.status_code for answer in answers} == {422}
    assert [pointers(answer) for answer in answers] == [[pointer] for _, pointer in CHANGES]


async def test_changing_ones_own_account_needs_a_recent_login(idle_people: People) -> None:
    ann = await idle_people.new("ann")
    stale = await old_login(idle_people, ann)

    refused = [
        await stale.patch(f"/v1/users/{ann.id}", json={"password": GOOD}),
        await stale.delete(f"/v1/users/{ann.id}"),
    ]

    assert [(answer.status_code, answer.json()["type"]) for answer in refused] == [(403, "/problems/login-too-old")] * 2
    assert (await stale.get("/v1/users/me")).status_code == 200
    assert (await ann.client.delete(f"/v1/users/{ann.id}")).status_code == 204


async def test_a_key_cannot_change_or_delete_its_account(idle_people: People) -> None:
    ann = await idle_people.new("ann", role="admin")
    key = await idle_people.holding((await idle_people.new_key(ann, "admin", "read", "upload"))["key"])

    refused = [
        await key.patch(f"/v1/users/{ann.id}", json={"password": GOOD}),
        await key.delete(f"/v1/users/{ann.id}"),
    ]

    assert [(answer.status_code, answer.json()["type"]) for answer in refused] == [
        (403, "/problems/not-with-a-key")
    ] * 2


async def test_another_admin_cannot_change_the_built_in_account(idle_people: People) -> None:
    ann = await idle_people.new("ann", role="admin")
    changes: list[dict[str, Any]] = [{"role": "member"}, {"disabled": True}, {"password": GOOD}]

    answers = [await ann.client.patch(f"/v1/users/{ADMIN_ID}", json=change) for change in changes]
    answers.append(await ann.client.delete(f"/v1/users/{ADMIN_ID}"))

    refusals = {(answer.status_code, answer.json()["type"]) for answer in answers}
    assert refusals == {(403, "/problems/built-in-account")}


async def test_the_admin_token_cannot_demote_disable_or_delete_its_account(idle_people: People) -> None:
    admin = idle_people.service.owner

    answers = [
        await admin.patch(f"/v1/users/{ADMIN_ID}", json={"role": "member"}),
        await admin.patch(f"/v1/users/{ADMIN_ID}", json={"disabled": True}),
        await admin.delete(f"/v1/users/{ADMIN_ID}"),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert (await admin.get("/v1/users/me")).json()["role"] == "admin"


async def test_the_admin_token_sets_the_password_of_its_account(idle_people: People) -> None:
    changed = await idle_people.service.owner.patch(f"/v1/users/{ADMIN_ID}", json={"password": GOOD})

    answer = await idle_people.log_in("admin", GOOD)

    assert [changed.status_code, answer.status_code] == [200, 200]
    assert answer.json()["scope"] == "admin links read stats upload"


async def test_the_last_other_admin_can_demote_itself(idle_people: People) -> None:
    ann = await idle_people.new("ann", role="admin")

    answer = await ann.client.patch(f"/v1/users/{ann.id}", json={"role": "member"})

    assert answer.json()["role"] == "member"
    assert (await ann.client.get("/v1/users")).status_code == 403


async def test_a_change_keeps_the_members_that_it_does_not_name(idle_people: People) -> None:
    ann, admin = await idle_people.new("ann"), idle_people.service.owner

    await admin.patch(f"/v1/users/{ann.id}", json={"disabled": True, "role": "admin"})
    answer = await admin.patch(f"/v1/users/{ann.id}", json={"disabled": True})

    assert (answer.json()["disabled"], answer.json()["role"]) == (True, "admin")


async def test_a_missing_account_is_404(idle_people: People) -> None:
    admin = idle_people.service.owner
    paths = ["/v1/users/01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a11", "/v1/users/nobody"]

    answers = [
        *[await admin.get(path) for path in paths],
        *[await admin.patch(path, json={"role": "admin"}) for path in paths],
        *[await admin.delete(path) for path in paths],
    ]

    assert [answer.status_code for answer in answers] == [404] * 6
