"""`Idempotency-Key`: a repeated request is not executed again, even if its first response was lost."""

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


async def create_link(client: httpx.AsyncClient, value: str, body: dict[str, Any] | None = None) -> httpx.Response:
    return await client.post("/v1/links", json=LINK if body is None else body, headers=key(value))


async def links_of(client: httpx.AsyncClient) -> list[str]:
    return [link["id"] for link in (await client.get("/v1/links")).json()["items"]]


async def execute(service: Service, statement: str) -> None:
    async with service.background.servers.database.sessions.begin() as session:
        await session.execute(text(statement))


async def expire_leases(service: Service) -> None:
    """Expire the leases of all keys, as if the processes that claimed them had died."""
    await execute(service, "UPDATE idempotency_keys SET lease_until = now() - interval '1 second'")


async def test_a_repeated_request_gets_the_first_answer_and_is_not_executed_again(idle_service: Service) -> None:
    owner = idle_service.owner

    first, again = await create_link(owner, "k" * 255), await create_link(owner, "k" * 255)
    other = await create_link(owner, "another")

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["content-type"] == first.headers["content-type"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert sorted(await links_of(owner)) == sorted([first.json()["id"], other.json()["id"]])


async def test_a_key_belongs_to_one_request_and_one_caller(idle_service: Service) -> None:
    async with People(idle_service) as people:
        ann = await people.new("ann")
        first = await create_link(idle_service.owner, "k")

        other_body = await create_link(idle_service.owner, "k", {**LINK, "label": "source 2"})
        other_route = await idle_service.owner.post("/v1/batches", content=BATCH, headers=JSON | key("k"))
        of_ann = await create_link(ann.client, "k")

    assert verdict(other_body) == verdict(other_route) == (422, "idempotency-key-reused")
    assert other_body.json()["errors"][0]["pointer"] == "/header/idempotency-key"
    assert of_ann.status_code == 201
    assert of_ann.json()["id"] != first.json()["id"]


@pytest.mark.parametrize("value", ["", "x" * 256, "tab\there"])
async def test_an_invalid_key_is_422(idle_service: Service, value: str) -> None:
    assert (await create_link(idle_service.owner, value)).status_code == 422
    assert await links_of(idle_service.owner) == []


async def test_the_key_of_a_refused_request_can_be_used_again(idle_service: Service) -> None:
    refused = await create_link(idle_service.owner, "k", {"expires_in": 10**9})
    corrected = await create_link(idle_service.owner, "k")

    assert (refused.status_code, corrected.status_code) == (422, 201)
    assert "idempotency-replayed" not in corrected.headers


async def test_of_concurrent_requests_with_one_key_one_is_executed(idle_service: Service) -> None:
    answers = await asyncio.gather(*(create_link(idle_service.owner, "k") for _ in range(10)))

    done = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    others = {verdict(answer) for answer in answers if answer.status_code != 201}
    assert [*done] == await links_of(idle_service.owner)
    assert others <= {(409, "idempotency-key-in-use")}


async def test_a_repeated_request_while_the_first_runs_is_409_with_retry_after(idle_service: Service) -> None:
    bearer = f"Authorization: {idle_service.owner.headers['authorization']}"
    async with connected(idle_service.url) as connection:
        header_lines = (
            "Idempotency-Key: k",
            "Content-Type: application/json",
            "Expect: 100-continue",
            "Connection: close",
        )
        await connection.begin("POST", "/v1/batches", bearer, f"Content-Length: {len(BATCH)}", *header_lines)
        await connection.continued()

        meanwhile = await idle_service.owner.post("/v1/batches", content=BATCH, headers=JSON | key("k"))
        await connection.send(BATCH)
        first = await connection.answer()
    again = await idle_service.owner.post("/v1/batches", content=BATCH, headers=JSON | key("k"))

    assert verdict(meanwhile) == (409, "idempotency-key-in-use")
    assert int(meanwhile.headers["retry-after"]) >= 1
    assert (first.status, again.status_code) == (202, 202)
    assert again.json() == first.json()


async def test_a_repeated_batch_request_creates_no_second_batch(idle_service: Service) -> None:
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


async def test_a_batch_with_an_unreadable_end_can_be_sent_again(idle_service: Service) -> None:
    async def send(body: bytes) -> httpx.Response:
        return await idle_service.owner.post("/v1/batches", content=body, headers=JSON | key("k"))

    malformed = await send(BATCH[:-1] + b"}")
    complete = await send(BATCH)

    assert (malformed.status_code, complete.status_code) == (202, 202)
    assert (malformed.json()["warnings"], complete.json()["results"][0]["status"]) != ([], "created")
    assert "idempotency-replayed" not in complete.headers


async def test_a_link_created_before_the_process_died_is_not_created_again(
    idle_service: Service, keys: IdempotencyKeys
) -> None:
    body, settings = json.dumps(LINK).encode(), idle_service.settings
    fingerprint = Fingerprint("POST /v1/links?")
    fingerprint.update(body)
    claim = await keys.begin(await _id_of_admin(idle_service), "k", fingerprint=fingerprint.digest())
    assert isinstance(claim, Claim)
    links = Links(settings, idle_service.background.servers.database, KeyRing(settings.signing_keys))
    owner = Caller(user_id=claim.caller_id, account="admin", scopes=frozenset({"links"}))
    await links.create(owner, NewLink.model_validate(LINK), link_id=claim.resource_id)
    during_lease = await idle_service.owner.post("/v1/links", content=body, headers=JSON | key("k"))
    await expire_leases(idle_service)

    other = await create_link(idle_service.owner, "k", {**LINK, "label": "source 2"})
    after = await idle_service.owner.post("/v1/links", content=body, headers=JSON | key("k"))

    assert verdict(during_lease) == (409, "idempotency-key-in-use")
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


async def test_a_request_that_lost_its_lease_does_not_overwrite_the_stored_answer(
    keys: IdempotencyKeys, idle_service: Service, caller_id: UUID
) -> None:
    fingerprint = Fingerprint("POST /x?")
    slow = await keys.begin(caller_id, "k", fingerprint=fingerprint.digest())
    await expire_leases(idle_service)
    quick = await keys.begin(caller_id, "k", fingerprint=fingerprint.digest())
    assert isinstance(slow, Claim)
    assert isinstance(quick, Claim)

    await keys.store(quick, fingerprint, ANSWER)
    await keys.store(slow, fingerprint, Answer(status=200, headers={}, body=b"late"))
    await keys.release(slow)
    done = await keys.begin(caller_id, "k", fingerprint=fingerprint.digest())

    assert slow.resource_id == quick.resource_id
    assert isinstance(done, Done)
    assert done.answer == ANSWER


async def test_a_lease_is_renewed_while_the_request_runs(
    settings_with: Any, idle_service: Service, caller_id: UUID
) -> None:
    settings = settings_with(idempotency_lease_seconds=0.3)
    keys = IdempotencyKeys(settings, idle_service.background.servers.database, KeyRing(settings.signing_keys))
    claim = await keys.begin(caller_id, "k", fingerprint=b"f")
    assert isinstance(claim, Claim)

    async def lease_end() -> dt.datetime:
        async with idle_service.background.servers.database.engine.connect() as connection:
            found: dt.datetime = (
                await connection.execute(text("SELECT lease_until FROM idempotency_keys"))
            ).scalar_one()
            return found

    first = await lease_end()

    async def is_renewed() -> bool:
        return await lease_end() > first

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

    stored = b" ".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
    assert b"secret of the answer" not in stored
    assert b"key of the client" not in stored


async def test_an_answer_encrypted_with_a_removed_secret_is_409_without_execution(
    settings_with: Any, idle_service: Service, keys: IdempotencyKeys
) -> None:
    other_ring = KeyRing(settings_with(secret_keys="k9:" + "z" * 32).signing_keys)
    other_keys = IdempotencyKeys(idle_service.settings, idle_service.background.servers.database, other_ring)
    fingerprint = Fingerprint("POST /v1/links?")
    fingerprint.update(json.dumps(LINK).encode())
    claim = await other_keys.begin(await _id_of_admin(idle_service), "k", fingerprint=fingerprint.digest())
    assert isinstance(claim, Claim)
    await other_keys.store(claim, fingerprint, ANSWER)

    answer = await idle_service.owner.post("/v1/links", content=json.dumps(LINK), headers=JSON | key("k"))

    assert verdict(answer) == (409, "idempotent-answer-lost")
    assert await links_of(idle_service.owner) == []


async def test_keys_are_deleted_after_a_day(keys: IdempotencyKeys, idle_service: Service) -> None:
    first = await create_link(idle_service.owner, "k")
    await execute(idle_service, "UPDATE idempotency_keys SET created_at = now() - interval '23 hours 59 minutes'")
    kept = await keys.expire()
    await execute(idle_service, "UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second'")
    deleted = await keys.expire()

    after = await create_link(idle_service.owner, "k")

    assert (kept, deleted) == (0, 1)
    assert after.json()["id"] != first.json()["id"]
