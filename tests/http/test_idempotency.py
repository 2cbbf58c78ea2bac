"""`Idempotency-Key`: a request that is sent again is not done again, whatever became of its first answer."""

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from imagesvc.accounts.service import Caller
from imagesvc.http.idempotency import Answer, Claim, Done, Fingerprint, IdempotencyKeys
from imagesvc.keyring import KeyRing
from imagesvc.links.schemas import NewLink
from imagesvc.links.service import Links
from imagesvc.settings import Settings
from tests.support.images import jpeg
from tests.support.people import People
from tests.support.processes import until
from tests.support.service import Service
from tests.support.wire import connected
from tests.uploads.test_batches import base64_of
from tests.uploads.ways_in import verdict

LINK = {"expires_in": 3600, "label": "source 1"}
JSON = {"Content-Type": "application/json"}
BATCH = json.dumps([{"file": base64_of(jpeg(seed=1, size=(64, 48)))}]).encode()


def key(value: str) -> dict[str, str]:
    return {"Idempotency-Key": value}


async def make(client: httpx.AsyncClient, value: str, body: dict[str, Any] | None = None) -> httpx.Response:
    return await client.post("/v1/links", json=LINK if body is None else body, headers=key(value))


async def links_of(client: httpx.AsyncClient) -> list[str]:
    return [link["id"] for link in (await client.get("/v1/links")).json()["items"]]


async def change(service: Service, statement: str) -> None:
    async with service.background.servers.database.sessions.begin() as session:
        await session.execute(text(statement))


async def abandon_all(service: Service) -> None:
    """As if the processes that had claimed keys had died long ago."""
    await change(service, "UPDATE idempotency_keys SET lease_until = now() - interval '1 second'")


async def test_the_same_request_again_is_answered_the_same_and_not_done_again(idle_service: Service) -> None:
    owner = idle_service.owner

    first, again = await make(owner, "k" * 255), await make(owner, "k" * 255)
    other = await make(owner, "another")

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["content-type"] == first.headers["content-type"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert sorted(await links_of(owner)) == sorted([first.json()["id"], other.json()["id"]])


async def test_a_key_belongs_to_one_request_and_one_caller(idle_service: Service) -> None:
    async with People(idle_service) as people:
        ann = await people.new("ann")
        first = await make(idle_service.owner, "k")

        other_body = await make(idle_service.owner, "k", {**LINK, "label": "source 2"})
        other_route = await idle_service.owner.post("/v1/batches", content=BATCH, headers=JSON | key("k"))
        of_ann = await make(ann.client, "k")

    assert verdict(other_body) == verdict(other_route) == (422, "idempotency-key-reused")
    assert other_body.json()["errors"][0]["pointer"] == "/header/idempotency-key"
    assert of_ann.status_code == 201
    assert of_ann.json()["id"] != first.json()["id"]


@pytest.mark.parametrize("value", ["", "x" * 256, "tab\there"])
async def test_a_key_that_is_none_is_422(idle_service: Service, value: str) -> None:
    assert (await make(idle_service.owner, value)).status_code == 422
    assert await links_of(idle_service.owner) == []


async def test_a_refused_request_leaves_its_key_free(idle_service: Service) -> None:
    refused = await make(idle_service.owner, "k", {"expires_in": 10**9})
    mended = await make(idle_service.owner, "k")

    assert (refused.status_code, mended.status_code) == (422, 201)
    assert "idempotency-replayed" not in mended.headers


async def test_of_requests_that_race_with_one_key_one_is_done(idle_service: Service) -> None:
    answers = await asyncio.gather(*(make(idle_service.owner, "k") for _ in range(10)))

    done = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    others = {verdict(answer) for answer in answers if answer.status_code != 201}
    assert [*done] == await links_of(idle_service.owner)
    assert others <= {(409, "idempotency-key-in-use")}


async def test_while_the_first_request_runs_the_next_is_409_and_told_when_to_come_again(idle_service: Service) -> None:
    bearer = f"Authorization: {idle_service.owner.headers['authorization']}"
    async with connected(idle_service.url) as connection:
        said = ("Idempotency-Key: k", "Content-Type: application/json", "Expect: 100-continue", "Connection: close")
        await connection.begin("POST", "/v1/batches", bearer, f"Content-Length: {len(BATCH)}", *said)
        await connection.continued()

        meanwhile = await idle_service.owner.post("/v1/batches", content=BATCH, headers=JSON | key("k"))
        await connection.send(BATCH)
        first = await connection.answer()
    again = await idle_service.owner.post("/v1/batches", content=BATCH, headers=JSON | key("k"))

    assert verdict(meanwhile) == (409, "idempotency-key-in-use")
    assert int(meanwhile.headers["retry-after"]) >= 1
    assert (first.status, again.status_code) == (202, 202)
    assert again.json() == first.json()


async def test_a_batch_that_is_sent_again_makes_no_second_batch(idle_service: Service) -> None:
    async def send(body: Any) -> httpx.Response:
        return await idle_service.owner.post("/v1/batches", content=body, headers=JSON | key("k"))

    async def chunked(body: bytes) -> AsyncIterator[bytes]:
        yield body[:100]
        yield body[100:]

    first, again, in_chunks = await send(BATCH), await send(BATCH), await send(chunked(BATCH))
    others = [
        await send(BATCH + b" "),
        await send(chunked(BATCH + b" ")),
        await send(BATCH.replace(b'"file"', b'"fi1e"')),
    ]

    assert again.json() == in_chunks.json() == first.json()
    assert [verdict(other) for other in others] == [(422, "idempotency-key-reused")] * 3
    assert len((await idle_service.owner.get("/v1/batches")).json()["items"]) == 1


async def test_a_batch_that_could_not_be_read_to_its_end_may_be_sent_again(idle_service: Service) -> None:
    async def send(body: bytes) -> httpx.Response:
        return await idle_service.owner.post("/v1/batches", content=body, headers=JSON | key("k"))

    cut = await send(BATCH[:-1] + b"}")
    whole = await send(BATCH)

    assert (cut.status_code, whole.status_code) == (202, 202)
    assert (cut.json()["warnings"], whole.json()["results"][0]["status"]) != ([], "created")
    assert "idempotency-replayed" not in whole.headers


async def test_what_a_request_made_before_its_process_died_is_not_made_again(
    idle_service: Service, keys: IdempotencyKeys
) -> None:
    body, settings = json.dumps(LINK).encode(), idle_service.settings
    mark = Fingerprint("POST /v1/links?")
    mark.update(body)
    claim = await keys.begin(await _id_of_admin(idle_service), "k", fingerprint=mark.digest())
    assert isinstance(claim, Claim)
    links = Links(settings, idle_service.background.servers.database, KeyRing(settings.signing_keys))
    owner = Caller(user_id=claim.caller_id, account="admin", scopes=frozenset({"links"}))
    await links.create(owner, NewLink.model_validate(LINK), link_id=claim.resource_id)
    in_its_lease = await idle_service.owner.post("/v1/links", content=body, headers=JSON | key("k"))
    await abandon_all(idle_service)

    other = await make(idle_service.owner, "k", {**LINK, "label": "source 2"})
    after = await idle_service.owner.post("/v1/links", content=body, headers=JSON | key("k"))

    assert verdict(in_its_lease) == (409, "idempotency-key-in-use")
    assert verdict(other) == (422, "idempotency-key-reused")
    assert (after.status_code, after.json()["id"]) == (201, str(claim.resource_id))
    assert await links_of(idle_service.owner) == [str(claim.resource_id)]


async def _id_of_admin(service: Service) -> UUID:
    return UUID((await service.owner.get("/v1/users/me")).json()["id"])


@pytest.fixture
async def caller_id(idle_service: Service) -> UUID:
    return await _id_of_admin(idle_service)


@pytest.fixture
def keys(settings: Settings, idle_service: Service) -> IdempotencyKeys:
    ring = KeyRing(settings.signing_keys)
    return IdempotencyKeys(settings, idle_service.background.servers.database, ring)


ANSWER = Answer(status=201, headers={"location": "/here"}, body=b"the secret of the answer")


async def test_who_lost_the_lease_does_not_overwrite_the_answer_of_who_took_over(
    keys: IdempotencyKeys, idle_service: Service, caller_id: UUID
) -> None:
    mark = Fingerprint("POST /x?")
    slow = await keys.begin(caller_id, "k", fingerprint=mark.digest())
    await abandon_all(idle_service)
    quick = await keys.begin(caller_id, "k", fingerprint=mark.digest())
    assert isinstance(slow, Claim)
    assert isinstance(quick, Claim)

    await keys.store(quick, mark, ANSWER)
    await keys.store(slow, mark, Answer(status=200, headers={}, body=b"late"))
    await keys.release(slow)
    done = await keys.begin(caller_id, "k", fingerprint=mark.digest())

    assert slow.resource_id == quick.resource_id
    assert isinstance(done, Done)
    assert done.answer == ANSWER


async def test_a_lease_is_renewed_while_the_work_goes_on(
    settings_with: Any, idle_service: Service, caller_id: UUID
) -> None:
    settings = settings_with(idempotency_lease_seconds=0.3)
    keys = IdempotencyKeys(settings, idle_service.background.servers.database, KeyRing(settings.signing_keys))
    claim = await keys.begin(caller_id, "k", fingerprint=b"f")
    assert isinstance(claim, Claim)

    async def until_when() -> dt.datetime:
        async with idle_service.background.servers.database.engine.connect() as connection:
            found: dt.datetime = (
                await connection.execute(text("SELECT lease_until FROM idempotency_keys"))
            ).scalar_one()
            return found

    first = await until_when()

    async def is_renewed() -> bool:
        return await until_when() > first

    async with keys.renewed(claim):
        await until(is_renewed)


async def test_neither_keys_nor_answers_can_be_read_from_the_database(
    keys: IdempotencyKeys, idle_service: Service, caller_id: UUID
) -> None:
    claim = await keys.begin(caller_id, "key of the client", fingerprint=b"f")
    assert isinstance(claim, Claim)
    await keys.store(claim, Fingerprint("POST /x?"), ANSWER)

    async with idle_service.background.servers.database.engine.connect() as connection:
        row = (await connection.execute(text("SELECT * FROM idempotency_keys"))).one()

    kept = b" ".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
    assert b"secret of the answer" not in kept
    assert b"key of the client" not in kept


async def test_an_answer_sealed_with_a_secret_that_is_gone_is_409_and_nothing_is_done_again(
    settings_with: Any, idle_service: Service, keys: IdempotencyKeys
) -> None:
    others = KeyRing(settings_with(secret_keys="k9:" + "z" * 32).signing_keys)
    elsewhere = IdempotencyKeys(idle_service.settings, idle_service.background.servers.database, others)
    mark = Fingerprint("POST /v1/links?")
    mark.update(json.dumps(LINK).encode())
    claim = await elsewhere.begin(await _id_of_admin(idle_service), "k", fingerprint=mark.digest())
    assert isinstance(claim, Claim)
    await elsewhere.store(claim, mark, ANSWER)

    answer = await idle_service.owner.post("/v1/links", content=json.dumps(LINK), headers=JSON | key("k"))

    assert verdict(answer) == (409, "idempotent-answer-lost")
    assert await links_of(idle_service.owner) == []


async def test_keys_are_forgotten_after_a_day(keys: IdempotencyKeys, idle_service: Service) -> None:
    first = await make(idle_service.owner, "k")
    await change(idle_service, "UPDATE idempotency_keys SET created_at = now() - interval '23 hours 59 minutes'")
    kept = await keys.expire()
    await change(idle_service, "UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second'")
    gone = await keys.expire()

    anew = await make(idle_service.owner, "k")

    assert (kept, gone) == (0, 1)
    assert anew.json()["id"] != first.json()["id"]
