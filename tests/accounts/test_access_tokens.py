"""Access tokens: forged, expired and ended tokens are 401 at once, on every route."""

import datetime as dt
import uuid
from typing import Any

import httpx
import jwt
import pytest

from imagesvc.keyring import KeyRing
from tests.support.people import People, Person
from tests.support.sql import sql


def forged(
    people: People, person: Person, *, without: str = "", header: dict[str, Any] | None = None, **changes: Any
) -> str:
    """The person's token with other claims or headers, signed with the key of the service."""
    kid, key = KeyRing(people.service.settings.signing_keys).signing("access")
    claims = jwt.decode(person.token, options={"verify_signature": False}) | changes
    claims.pop(without, None)
    return jwt.encode(claims, key, algorithm="HS256", headers={"kid": kid, "typ": "at+jwt", **(header or {})})


async def me(people: People, token: str) -> httpx.Response:
    return await people.service.anyone.get("/v1/users/me", headers={"Authorization": f"Bearer {token}"})


def refusal_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"]


async def test_a_token_with_the_service_key_and_claims_is_accepted(idle_people: People) -> None:
    ann = await idle_people.new("ann")

    answer = await me(idle_people, forged(idle_people, ann))

    assert answer.json()["account"] == "ann"


CHANGES: list[dict[str, Any]] = [
    {"aud": "link"},
    {"iss": "another-issuer"},
    {"sub": "1"},
    {"sub": None},
    {"gen": "one"},
    {"gen": []},
    {"without": "exp"},
    {"without": "sub"},
    {"without": "gen"},
    {"without": "aud"},
    {"header": {"typ": "link+jwt"}},
    {"header": {"typ": "JWT"}},
    {"header": {"kid": "k9"}},
    {"header": {"kid": "k0"}},
    {"sub": str(uuid.uuid4())},
    {"gen": 1},
]


async def test_a_token_with_any_wrong_claim_or_header_is_401(idle_people: People) -> None:
    ann = await idle_people.new("ann")

    answers = [await me(idle_people, forged(idle_people, ann, **change)) for change in CHANGES]

    refusals = zip(CHANGES, map(refusal_of, answers), strict=True)
    assert [refusal for refusal in refusals if refusal[1] != (401, "/problems/bad-access-token")] == []
    assert all(answer.headers["www-authenticate"].startswith("Bearer") for answer in answers)


@pytest.mark.filterwarnings("ignore:The HMAC key")
async def test_a_token_with_another_key_or_algorithm_is_401(idle_people: People) -> None:
    ann = await idle_people.new("ann")
    claims = jwt.decode(ann.token, options={"verify_signature": False})
    headers = {"kid": "k1", "typ": "at+jwt"}
    keys = KeyRing(idle_people.service.settings.signing_keys)
    header, payload, signature = ann.token.split(".")

    answers = [
        await me(idle_people, jwt.encode(claims, keys.signing("link")[1], headers=headers)),
        await me(idle_people, jwt.encode(claims, keys.signing("access")[1], algorithm="HS512", headers=headers)),
        await me(idle_people, jwt.encode(claims, "", algorithm="none", headers=headers)),
        await me(idle_people, f"{header}.{payload}."),
        await me(idle_people, f"{header}.{payload}.{signature[:-4]}AAAA"),
        await me(idle_people, "garbage"),
        await me(idle_people, "x" * 20_000),
    ]

    assert [refusal_of(answer) for answer in answers] == [(401, "/problems/bad-access-token")] * 7


async def test_an_expired_token_is_401_with_its_own_problem(idle_people: People) -> None:
    ann = await idle_people.new("ann")
    past = int(dt.datetime.now(dt.UTC).timestamp()) - 1

    answer = await me(idle_people, forged(idle_people, ann, exp=past))

    assert refusal_of(answer) == (401, "/problems/access-token-expired")


async def test_an_invalid_credential_is_401_on_public_routes_too(idle_people: People) -> None:
    headers = [{"Authorization": header} for header in ("Bearer", "Basic YTpi", "Token x", "x")]

    answers = [await idle_people.service.anyone.get(f"/v1/images/{uuid.uuid4()}", headers=sent) for sent in headers]

    assert [answer.status_code for answer in answers] == [401] * 4


async def test_disabling_an_account_ends_its_tokens_permanently(idle_people: People) -> None:
    ann, admin = await idle_people.new("ann"), idle_people.service.owner
    before = await ann.client.get("/v1/users/me")

    await admin.patch(f"/v1/users/{ann.id}", json={"disabled": True})
    disabled = await ann.client.get("/v1/users/me")
    await admin.patch(f"/v1/users/{ann.id}", json={"disabled": False})
    enabled = await ann.client.get("/v1/users/me")
    again = await idle_people.log_in("ann", ann.password)

    assert [before.status_code, disabled.status_code, enabled.status_code] == [200, 401, 401]
    assert again.status_code == 200


async def test_a_new_password_ends_all_tokens_and_the_old_password(idle_people: People) -> None:
    ann = await idle_people.new("ann")
    other = await idle_people.holding((await idle_people.log_in("ann", ann.password)).json()["access_token"])

    changed = await ann.client.patch(f"/v1/users/{ann.id}", json={"password": "another long sentence"})

    assert changed.status_code == 200
    assert [(await client.get("/v1/users/me")).status_code for client in (ann.client, other)] == [401, 401]
    assert (await idle_people.log_in("ann", ann.password)).status_code == 401
    assert (await idle_people.log_in("ann", "another long sentence")).status_code == 200


async def test_deleting_an_account_ends_its_credentials_at_once(idle_people: People) -> None:
    ann = await idle_people.new("ann")
    key = await idle_people.holding((await idle_people.new_key(ann, "read"))["key"])

    await idle_people.service.owner.delete(f"/v1/users/{ann.id}")

    assert [(await client.get("/v1/users/me")).status_code for client in (ann.client, key)] == [401, 401]
    assert (await idle_people.log_in("ann", ann.password)).status_code == 401


async def test_each_request_has_the_rights_of_the_current_role(idle_people: People) -> None:
    ann, admin = await idle_people.new("ann"), idle_people.service.owner

    as_member = await ann.client.get("/v1/stats")
    await admin.patch(f"/v1/users/{ann.id}", json={"role": "admin"})
    as_admin = await ann.client.get("/v1/stats")
    await sql(idle_people.service, "UPDATE users SET role = 'member' WHERE account = 'ann'")
    as_member_again = await ann.client.get("/v1/stats")

    assert [as_member.status_code, as_admin.status_code, as_member_again.status_code] == [403, 200, 403]
