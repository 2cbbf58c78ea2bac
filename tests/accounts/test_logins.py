"""Logins: the token response, refusals, and the waits after failures."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import httpx
import pytest
from argon2 import PasswordHasher

from imagesvc.accounts.logins import FREE_FAILURES, network_of
from imagesvc.settings import Settings
from tests.support.people import People
from tests.support.service import running_api
from tests.support.sql import sql


async def test_a_login_returns_a_valid_access_token(idle_people: People) -> None:
    ann = await idle_people.new("ann")

    answer = await idle_people.log_in("ann", ann.password)
    client = await idle_people.holding(answer.json()["access_token"])
    me = await client.get("/v1/users/me")

    assert answer.json() | {"access_token": ""} == {
        "access_token": "",
        "token_type": "bearer",
        "expires_in": 12 * 3600,
        "scope": "links read upload",
    }
    assert answer.headers["cache-control"] == "no-store"
    assert me.json() | {"created_at": ""} == {
        "id": ann.id,
        "account": "ann",
        "role": "member",
        "disabled": False,
        "created_at": "",
        "scopes": ["links", "read", "upload"],
    }


async def test_case_and_surrounding_spaces_of_the_name_are_ignored(idle_people: People) -> None:
    ann = await idle_people.new("Ann")

    answers = [await idle_people.log_in(spelling, ann.password) for spelling in ("ANN", " ann ", "aNN")]

    assert [answer.status_code for answer in answers] == [200, 200, 200]


async def test_a_decomposed_password_equals_the_composed_one(idle_people: People) -> None:
    composed, decomposed = "\u00e9t\u00e9 \u00e0 la plage", "e\u0301te\u0301 a\u0300 la plage"
    await idle_people.service.owner.post("/v1/users", json={"account": "zoe", "password": composed})

    answer = await idle_people.log_in("zoe", decomposed)

    assert answer.status_code == 200


async def test_a_failed_login_does_not_reveal_whether_the_account_exists(idle_people: People) -> None:
    ann, bob = await idle_people.new("ann"), await idle_people.new("bob")
    await idle_people.service.owner.patch(f"/v1/users/{bob.id}", json={"disabled": True})

    answers = [
        await idle_people.log_in("ann", "wrong password"),
        await idle_people.log_in("nobody", "wrong password"),
        await idle_people.log_in("admin", "wrong password"),
        await idle_people.log_in("bob", bob.password),
        await idle_people.log_in("bob\x00", ann.password),
        await idle_people.log_in("x" * 10_000, ann.password),
    ]

    refusals = [(answer.status_code, {**answer.json(), "instance": ""}) for answer in answers]
    assert refusals == [refusals[0]] * len(answers)
    assert refusals[0][0] == 401
    assert refusals[0][1]["type"] == "/problems/wrong-password"


async def test_a_missing_account_costs_as_much_work_as_an_existing_one(idle_people: People) -> None:
    await idle_people.new("ann")

    async def work_of(account: str) -> float:
        started = time.process_time()
        answers = [await idle_people.log_in(account, "wrong password", address=f"10.0.0.{n}") for n in range(8)]
        assert {answer.status_code for answer in answers} == {401}
        return time.process_time() - started

    existing, missing, without_password = await work_of("ann"), await work_of("nobody"), await work_of("admin")

    assert missing > existing / 2
    assert without_password > existing / 2


async def test_after_five_failures_each_further_one_doubles_the_wait(idle_people: People) -> None:
    service, ann = idle_people.service, await idle_people.new("ann")
    free = [await idle_people.log_in("ann", "wrong password") for _ in range(FREE_FAILURES)]

    refused = await idle_people.log_in("ann", ann.password)
    waits = []
    for _ in range(4):
        await sql(service, "UPDATE login_failures SET blocked_until = now()")
        assert (await idle_people.log_in("ann", "wrong password")).status_code == 401
        waits.append(int((await idle_people.log_in("ann", "wrong password")).headers["retry-after"]))

    assert [answer.status_code for answer in free] == [401] * FREE_FAILURES
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-failures")
    assert refused.headers["retry-after"] == "1"
    assert waits == [2, 4, 8, 16]


async def test_a_wait_is_at_most_a_quarter_of_an_hour(idle_people: People) -> None:
    service = idle_people.service
    await idle_people.new("ann")
    await idle_people.log_in("ann", "wrong password")
    await sql(service, "UPDATE login_failures SET failures = 5000")

    await idle_people.log_in("ann", "wrong password")
    refused = await idle_people.log_in("ann", "wrong password")

    assert refused.headers["retry-after"] == "900"


async def test_a_successful_login_after_the_wait_resets_the_count(idle_people: People) -> None:
    service, ann = idle_people.service, await idle_people.new("ann")
    for _ in range(FREE_FAILURES):
        await idle_people.log_in("ann", "wrong password")
    await sql(service, "UPDATE login_failures SET blocked_until = now()")

    answer = await idle_people.log_in("ann", ann.password)
    again = [await idle_people.log_in("ann", "wrong password") for _ in range(FREE_FAILURES)]

    assert answer.status_code == 200
    assert [refused.status_code for refused in again] == [401] * FREE_FAILURES


async def test_failures_from_one_address_do_not_block_another(idle_people: People) -> None:
    ann = await idle_people.new("ann")
    for _ in range(FREE_FAILURES + 1):
        attack = await idle_people.log_in("ann", "wrong password", address="203.0.113.7")

    answer = await idle_people.log_in("ann", ann.password, address="198.51.100.4")

    assert attack.status_code == 429
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("203.0.113.7", "203.0.113.8", False),
        ("2001:db8:1:2::7", "2001:db8:1:2:ffff::8", True),
        ("2001:db8:1:2::7", "2001:db8:1:3::7", False),
        ("::ffff:203.0.113.7", "203.0.113.7", True),
        ("fe80::1%eth0", "fe80::2", True),
        (None, "", True),
    ],
)
def test_addresses_of_one_ipv6_network_count_as_one(one: str | None, other: str | None, is_same: bool) -> None:
    assert (network_of(one) == network_of(other)) is is_same


async def test_all_processes_share_the_failure_count(idle_people: People, settings: Settings) -> None:
    ann = await idle_people.new("ann")
    async with running_api(settings) as url, httpx.AsyncClient(base_url=url, timeout=60) as another:
        for _ in range(FREE_FAILURES):
            await another.post("/v1/auth/token", data={"username": "ann", "password": "wrong password"})

    answer = await idle_people.log_in("ann", ann.password)

    assert answer.status_code == 429


async def test_of_many_simultaneous_guesses_only_a_few_are_checked(idle_people: People, settings: Settings) -> None:
    await idle_people.new("ann")

    answers = await asyncio.gather(*(idle_people.log_in("ann", f"guess number {n}") for n in range(40)))

    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {401, 429}
    assert statuses[401] < FREE_FAILURES + settings.password_hashes_at_once


async def test_many_simultaneous_correct_logins_all_succeed(idle_people: People) -> None:
    ann = await idle_people.new("ann")

    answers = await asyncio.gather(*(idle_people.log_in("ann", ann.password) for _ in range(30)))

    assert {answer.status_code for answer in answers} == {200}


async def test_expired_failures_are_deleted(idle_people: People) -> None:
    service = idle_people.service
    for n in range(12):
        await idle_people.log_in(f"nobody {n}", "wrong password")
    await sql(service, "UPDATE login_failures SET forgotten_at = now()")

    await idle_people.log_in("somebody else", "wrong password")

    assert await sql(service, "SELECT count(*) FROM login_failures") == [{"count": 1}]


async def test_the_typed_name_of_a_failed_login_is_not_stored(idle_people: People) -> None:
    service = idle_people.service
    await idle_people.log_in("my secret password", "wrong password")

    rows = await sql(service, "SELECT login_failures::text AS row FROM login_failures")

    assert len(rows) == 1
    assert b"secret".hex() not in rows[0]["row"]


async def test_a_hash_with_weaker_parameters_is_replaced_at_login(idle_people: People) -> None:
    service, ann = idle_people.service, await idle_people.new("ann")
    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(ann.password)
    await sql(service, "UPDATE users SET password_hash = :weak WHERE account = 'ann'", weak=weak)

    answers = [await idle_people.log_in("ann", ann.password) for _ in range(2)]

    row = (await sql(service, "SELECT password_hash FROM users WHERE account = 'ann'"))[0]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert row["password_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")


URLENCODED = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
FORMS: list[tuple[str, int, list[str]]] = [
    ("username=ann", 422, ["/password"]),
    ("password=x", 422, ["/username"]),
    ("username=&password=x", 422, ["/username"]),
    ("username=ann&password=x&grant_type=refresh_token", 422, ["/grant_type"]),
    ("", 422, ["/username", "/password"]),
    ("username=ann&password=" + "x" * 20_000, 400, []),
    ("a=1&" * 50, 400, []),
]


async def test_an_invalid_login_form_is_refused_with_pointers(idle_people: People) -> None:
    anyone = idle_people.service.anyone

    answers = [await anyone.post("/v1/auth/token", content=form, headers=URLENCODED) for form, _, _ in FORMS]
    as_json = await anyone.post("/v1/auth/token", json={"username": "ann", "password": "x"})

    refusals = [
        (answer.status_code, [error["pointer"] for error in answer.json().get("errors", ())]) for answer in answers
    ]
    assert refusals == [(status, pointers) for _, status, pointers in FORMS]
    assert (as_json.status_code, "urlencoded" in as_json.json()["detail"]) == (422, True)


async def test_invalid_utf8_in_the_form_is_a_wrong_password(idle_people: People) -> None:
    answer = await idle_people.service.anyone.post(
        "/v1/auth/token", content="username=%ff%fe&password=%ed%a0%80", headers=URLENCODED
    )

    assert answer.status_code == 401


async def test_the_authorize_button_of_the_docs_page_logs_in(idle_people: People) -> None:
    """Swagger UI also sends the empty name and password of the client, as Basic."""
    document = (await idle_people.service.anyone.get("/openapi.json")).json()
    flow = document["components"]["securitySchemes"]["password"]["flows"]["password"]
    ann = await idle_people.new("ann")

    answer = await idle_people.service.anyone.post(
        f"/{flow['tokenUrl']}",
        data={"grant_type": "password", "username": "ann", "password": ann.password},
        headers={"Authorization": "Basic Og==", "X-Requested-With": "XMLHttpRequest"},
    )

    assert answer.status_code == 200
    assert {"bearer": []} in document["paths"]["/v1/images/{image_id}"]["get"]["security"]
    assert {"password": []} in document["paths"]["/v1/images/{image_id}"]["get"]["security"]


async def test_the_token_lifetime_is_a_setting(settings_with: Callable[..., Settings], idle_people: People) -> None:
    ann = await idle_people.new("ann")
    async with (
        running_api(settings_with(access_token_seconds=60)) as url,
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        answer = await client.post("/v1/auth/token", data={"username": "ann", "password": ann.password})

    assert answer.json()["expires_in"] == 60
