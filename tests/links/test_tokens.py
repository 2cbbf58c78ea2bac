"""Tokens that do not open a link: the status of each kind, and that nothing of the upload is kept."""

import base64
import datetime as dt
import json
import uuid
from typing import Any

import httpx
import jwt
import pytest

from imagesvc.keyring import KeyRing
from tests.links.links import disable_owner, expire
from tests.support.images import jpeg
from tests.support.service import Service
from tests.support.traces import NOTHING, traces
from tests.support.wire import MULTIPART, file_part, form

PICTURE = jpeg(seed=1, size=(64, 48))
TAMPERED = [
    "header",
    "payload",
    "signature",
    "truncated",
    "without signature",
    "extra part",
    "alg none",
    "alg none, signed",
    "alg HS512",
    "other audience",
    "other issuer",
    "type of another token",
    "no type",
    "key of another purpose",
    "plain secret as key",
    "unknown kid",
    "no kid",
    "no expiry",
    "no id",
    "id that is not a uuid",
    "garbage",
    "dots",
    "deep json",
    "not ascii",
    "very long",
]


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _changed(part: str) -> str:
    """The part of a token with its middle character replaced."""
    at = len(part) // 2
    return part[:at] + ("A" if part[at] != "A" else "B") + part[at + 1 :]


def forgeries(service: Service, token: str) -> dict[str, str]:
    """Invalid variants of a valid token, by what is wrong with each."""
    keys = KeyRing(service.settings.signing_keys)
    kid, key = keys.signing("link")
    header, payload, signature = token.split(".")
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})

    def signed(
        changes: dict[str, Any], headers: dict[str, Any], *, by: bytes = key, algorithm: str = "HS256", less: str = ""
    ) -> str:
        body = {name: value for name, value in (claims | changes).items() if name != less}
        return jwt.encode(body, by, algorithm=algorithm, headers={"kid": kid, "typ": "link+jwt", **headers})

    none = _base64(json.dumps({"alg": "none", "typ": "link+jwt", "kid": kid}).encode())
    tokens = [
        f"{_changed(header)}.{payload}.{signature}",
        f"{header}.{_changed(payload)}.{signature}",
        f"{header}.{payload}.{_changed(signature)}",
        token[:-10],
        f"{header}.{payload}.",
        f"{token}.{signature}",
        f"{none}.{payload}.",
        f"{none}.{payload}.{signature}",
        signed({}, {}, algorithm="HS512"),
        signed({"aud": "access"}, {}),
        signed({"iss": "somebody"}, {}),
        signed({}, {"typ": "at+jwt"}),
        signed({}, {"typ": None}),
        signed({}, {}, by=keys.signing("access")[1]),
        signed({}, {}, by=service.settings.signing_keys[0][1]),
        signed({}, {"kid": "k9"}),
        jwt.encode(claims, key, algorithm="HS256", headers={"typ": "link+jwt"}),
        signed({}, {}, less="exp"),
        signed({}, {}, less="jti"),
        signed({"jti": "1"}, {}),
        "garbage",
        "a..b",
        f"{_base64(b'[' * 5000)}.{payload}.{signature}",
        "%C3%BC" * 20,
        "x" * 20_000,
    ]
    return dict(zip(TAMPERED, tokens, strict=True))


async def use_everywhere(service: Service, token: str) -> list[httpx.Response]:
    """One request to each route that takes a link's token."""
    anyone, body = service.anyone, form(file_part(PICTURE))
    return [
        await anyone.get(f"/u/{token}"),
        await anyone.put(f"/u/{token}/a.jpg", content=PICTURE),
        await anyone.post(f"/u/{token}", content=body, headers=MULTIPART),
        await anyone.get(f"/u/{token}/uploads/{uuid.uuid4()}"),
        await anyone.get(f"/u/{token}/uploads/{uuid.uuid4()}/thumb.webp"),
    ]


def problems_of(answers: list[httpx.Response]) -> list[tuple[int, str]]:
    return [(answer.status_code, answer.json()["type"]) for answer in answers]


@pytest.mark.filterwarnings("ignore:The HMAC key")
async def test_every_forged_token_is_401_and_nothing_is_kept(idle_service: Service) -> None:
    link = await idle_service.new_link()

    answers = {
        name: await use_everywhere(idle_service, token)
        for name, token in forgeries(idle_service, link["token"]).items()
    }

    assert {name: problems_of(found) for name, found in answers.items()} == dict.fromkeys(
        TAMPERED, [(401, "/problems/bad-link-token")] * 5
    )
    assert all("www-authenticate" in answer.headers for found in answers.values() for answer in found)
    assert await traces(idle_service) == NOTHING


async def test_the_token_that_the_forgeries_are_made_from_is_valid(idle_service: Service) -> None:
    link = await idle_service.new_link()

    answers = await use_everywhere(idle_service, link["token"])

    assert [answer.status_code for answer in answers] == [200, 201, 200, 404, 404]


async def test_a_token_signed_with_an_older_secret_is_valid(idle_service: Service) -> None:
    link = await idle_service.new_link()
    kid, secret = idle_service.settings.signing_keys[1]
    claims = jwt.decode(link["token"], options={"verify_signature": False})
    key = KeyRing([(kid, secret)]).signing("link")[1]
    older = jwt.encode(claims, key, algorithm="HS256", headers={"kid": kid, "typ": "link+jwt"})

    answer = await idle_service.anyone.get(f"/u/{older}")

    assert answer.status_code == 200


async def test_a_signed_token_without_a_row_is_410(idle_service: Service) -> None:
    link = await idle_service.new_link()
    kid, key = KeyRing(idle_service.settings.signing_keys).signing("link")
    claims = jwt.decode(link["token"], options={"verify_signature": False}) | {"jti": str(uuid.uuid4())}
    token = jwt.encode(claims, key, algorithm="HS256", headers={"kid": kid, "typ": "link+jwt"})

    answers = await use_everywhere(idle_service, token)

    assert problems_of(answers) == [(410, "/problems/link-revoked")] * 5


async def test_an_expired_link_is_410(idle_service: Service) -> None:
    by_row, by_token = await idle_service.new_link(), await idle_service.new_link()
    kid, key = KeyRing(idle_service.settings.signing_keys).signing("link")
    past = int(dt.datetime.now(dt.UTC).timestamp()) - 1
    claims = jwt.decode(by_token["token"], options={"verify_signature": False}) | {"exp": past}
    token = jwt.encode(claims, key, algorithm="HS256", headers={"kid": kid, "typ": "link+jwt"})
    await use_everywhere(idle_service, by_row["token"])
    await expire(idle_service, by_row)

    answers = await use_everywhere(idle_service, by_row["token"]) + await use_everywhere(idle_service, token)

    assert problems_of(answers) == [(410, "/problems/link-expired")] * 10


async def test_a_revoked_link_is_410(idle_service: Service) -> None:
    link = await idle_service.new_link()
    await idle_service.owner.delete(f"/v1/links/{link['id']}")

    answers = await use_everywhere(idle_service, link["token"])

    assert problems_of(answers) == [(410, "/problems/link-revoked")] * 5
    assert await traces(idle_service) == NOTHING


async def test_a_link_of_a_disabled_account_is_410(idle_service: Service) -> None:
    link = await idle_service.new_link()
    await disable_owner(idle_service)

    answers = await use_everywhere(idle_service, link["token"])

    assert problems_of(answers) == [(410, "/problems/link-revoked")] * 5


async def test_a_used_up_link_refuses_files_and_still_shows_its_receipts(idle_service: Service) -> None:
    link = await idle_service.new_link(max_files=1)
    first = await idle_service.anyone.put(f"{link['path']}/a.jpg", content=jpeg(seed=2))
    before = await traces(idle_service)

    refused = [
        await idle_service.anyone.put(f"{link['path']}/b.jpg", content=PICTURE),
        await idle_service.anyone.post(link["path"], content=form(file_part(PICTURE)), headers=MULTIPART),
    ]
    invitation = await idle_service.anyone.get(link["path"])
    receipt = await idle_service.anyone.get(first.json()["results"][0]["url"])

    assert problems_of(refused) == [(410, "/problems/link-used-up")] * 2
    assert invitation.json()["remaining"]["files"] == 0
    assert receipt.status_code == 200
    assert await traces(idle_service) == before


async def test_the_token_may_be_in_the_header_with_a_dash_in_the_path(idle_service: Service) -> None:
    link = await idle_service.new_link()
    bearer = {"Authorization": f"Bearer {link['token']}"}

    invitation = await idle_service.anyone.get("/u/-", headers=bearer)
    raw = await idle_service.anyone.put("/u/-/a.jpg", content=PICTURE, headers=bearer)
    of_a_form = await idle_service.anyone.post("/u/-", content=form(file_part(PICTURE)), headers=bearer | MULTIPART)
    receipt = await idle_service.anyone.get(raw.json()["results"][0]["url"], headers=bearer)

    assert invitation.json()["accepted"]
    assert [raw.status_code, of_a_form.status_code, receipt.status_code] == [201, 200, 200]
    assert raw.json()["results"][0]["url"].startswith("/u/-/uploads/")


BAD_HEADERS = [{}, {"Authorization": "Bearer"}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer nonsense"}]


@pytest.mark.parametrize("headers", BAD_HEADERS)
async def test_a_dash_without_a_valid_token_in_the_header_is_401(
    idle_service: Service, headers: dict[str, str]
) -> None:
    answer = await idle_service.anyone.put("/u/-/a.jpg", content=PICTURE, headers=headers)

    assert answer.status_code == 401
    assert "www-authenticate" in answer.headers


async def test_link_tokens_and_access_tokens_are_not_interchangeable(idle_service: Service) -> None:
    link = await idle_service.new_link()
    bearer = {"Authorization": f"Bearer {link['token']}"}

    as_user = await idle_service.anyone.get("/v1/links", headers=bearer)
    as_link = await idle_service.owner.get("/u/-")

    assert [as_user.status_code, as_link.status_code] == [401, 401]


async def test_a_token_issued_in_the_future_is_valid(idle_service: Service) -> None:
    link = await idle_service.new_link()
    kid, key = KeyRing(idle_service.settings.signing_keys).signing("link")
    claims = jwt.decode(link["token"], options={"verify_signature": False})
    ahead = jwt.encode(claims | {"iat": claims["iat"] + 60}, key, headers={"kid": kid, "typ": "link+jwt"})

    answer = await idle_service.anyone.get(f"/u/{ahead}")

    assert answer.status_code == 200
