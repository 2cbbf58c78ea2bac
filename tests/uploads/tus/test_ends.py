"""Ends of resumable uploads: races, termination and refusal; all release what they held."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from imagesvc.worker import run_task
from tests.links.links import expire as expire_link
from tests.support.images import jpeg
from tests.support.service import Service, running_api
from tests.support.traces import NOTHING, pass_time, traces
from tests.uploads.tus.test_interruptions import patching
from tests.uploads.tus.tus import MIB, Tus, metadata, of_link, of_user, verdict

ROUNDS = range(6)
DATA = [jpeg(seed=seed, size=(64, 48)) for seed in range(100, 100 + len(ROUNDS))]


@pytest.fixture
async def other(idle_service: Service) -> AsyncIterator[Tus]:
    """The owner's uploads through a second API over the same servers."""
    async with (
        running_api(idle_service.settings) as url,
        httpx.AsyncClient(base_url=url, headers=idle_service.owner.headers, verify=False) as client,
    ):
        yield Tus(client=client, path="/v1/tus")


async def change(service: Service, statement: str) -> None:
    async with service.background.servers.database.sessions.begin() as session:
        await session.execute(text(statement))


async def let_expire(service: Service) -> None:
    await change(service, "UPDATE resumable_uploads SET expires_at = now() WHERE state = 'receiving'")


async def what_is_left(service: Service) -> dict[str, int]:
    await pass_time(service)
    return await traces(service)


async def reserved(service: Service, link: dict[str, Any]) -> tuple[int, int]:
    reported = (await service.owner.get(f"/v1/links/{link['id']}")).json()
    return reported["reserved_files"], reported["reserved_bytes"]


# ---- races


async def test_of_two_requests_at_one_offset_one_counts(idle_service: Service, other: Tus) -> None:
    tus = of_user(idle_service)
    uploads = [await tus.new(len(data)) for data in DATA]

    pairs = await asyncio.gather(
        *(
            asyncio.gather(tus.patch(upload, 0, data), other.patch(upload, 0, data))
            for upload, data in zip(uploads, DATA, strict=True)
        )
    )
    reported = [await tus.head(upload) for upload in uploads]

    assert {answer.status_code for pair in pairs for answer in pair} <= {204, 409}
    assert all(any(answer.status_code == 204 for answer in pair) for pair in pairs)
    assert [answer.headers["imagesvc-status"] for answer in reported] == ["created"] * len(DATA)
    shas = {image["sha256"] for image in (await idle_service.owner.get("/v1/images?owner=me")).json()["items"]}
    assert shas == {sha256(data).hexdigest() for data in DATA}
    assert (await what_is_left(idle_service))["uploads"] == len(DATA)


async def test_an_upload_that_many_finish_at_once_is_admitted_once(idle_service: Service, other: Tus) -> None:
    tus, link = await of_link(idle_service, max_files=len(DATA))
    there = Tus(client=other.client, path=tus.path)
    uploads = [await tus.new(len(data), data[:-1]) for data in DATA]

    async def finish(upload: str, data: bytes) -> None:
        last = asyncio.create_task(tus.patch(upload, len(data) - 1, data[-1:]))
        await asyncio.gather(last, there.head(upload), tus.head(upload), there.head(upload), there.head(upload))

    await asyncio.gather(*(finish(upload, data) for upload, data in zip(uploads, DATA, strict=True)))
    again = [await tus.patch(upload, len(data) - 1, data[-1:]) for upload, data in zip(uploads, DATA, strict=True)]
    reported = [await there.head(upload) for upload in uploads]

    assert {answer.status_code for answer in again} <= {204, 409}
    assert {answer.headers["imagesvc-status"] for answer in reported} == {"created"}
    assert await reserved(idle_service, link) == (0, 0)
    left = await what_is_left(idle_service)
    assert (left["uploads"], left["charged"], left["objects"]) == (len(DATA),) * 3


async def test_termination_expiry_and_the_last_bytes_race_to_one_end(idle_service: Service, other: Tus) -> None:
    tus, link = await of_link(idle_service)
    there = Tus(client=other.client, path=tus.path)
    uploads = [await tus.new(len(data), data[:500]) for data in DATA]

    async def end(upload: str, data: bytes) -> tuple[httpx.Response, ...]:
        answers = (tus.patch(upload, 500, data[500:]), there.delete(upload), tus.delete(upload))
        return await asyncio.gather(*answers)

    async def expire() -> None:
        await let_expire(idle_service)
        await idle_service.background.expiry.expire()

    expiring = asyncio.create_task(expire())
    ends = await asyncio.gather(*(end(upload, data) for upload, data in zip(uploads, DATA, strict=True)))
    await expiring
    reported = [await tus.head(upload) for upload in uploads]

    patched = [answers[0] for answers in ends]
    assert {answer.status_code for answer in patched} <= {204, 409, 410}
    assert {answer.status_code for (_, *deletions) in ends for answer in deletions} <= {204, 410}
    assert {answer.status_code for answer in reported} == {410}
    assert await reserved(idle_service, link) == (0, 0)
    left = await what_is_left(idle_service)
    taken = [answer for answer in patched if answer.status_code == 204]
    assert left["objects"] == left["uploads"] == left["charged"] >= len(taken)


# ---- termination and refusal


async def test_a_terminated_upload_releases_its_reservation_and_objects(idle_service: Service) -> None:
    tus, link = await of_link(idle_service, max_files=1)
    upload = await tus.new(12 * MIB)

    async with patching(idle_service.url, tus, upload, 0, 12 * MIB) as connection:
        await connection.send(DATA[0] + bytes(9 * MIB))
        deleted = await tus.delete(upload)
        cut_short = await connection.answer()
    later = [await tus.head(upload), await tus.patch(upload, 0, b"x"), await tus.delete(upload)]

    assert deleted.status_code == 204
    assert (cut_short.status, cut_short.json()["problem"]["type"]) == (410, "/problems/upload-terminated")
    assert [answer.status_code for answer in later] == [410] * 3
    assert later[0].headers["imagesvc-problem"] == "upload-terminated"
    assert await reserved(idle_service, link) == (0, 0)
    assert await what_is_left(idle_service) == NOTHING


async def test_an_expired_upload_that_is_terminated_cannot_be_revived_by_the_request_that_sends_it(
    idle_service: Service,
) -> None:
    tus, _ = await of_link(idle_service)
    upload = await tus.new(len(DATA[0]))

    async with patching(idle_service.url, tus, upload, 0, len(DATA[0])) as connection:
        await connection.send(DATA[0][:500])
        await let_expire(idle_service)
        deleted = await tus.delete(upload)
        await connection.send(DATA[0][500:])
        sent = await connection.answer()

    assert deleted.status_code == 204
    assert (sent.status, sent.json()["problem"]["type"]) == (410, "/problems/upload-terminated")
    assert (await tus.head(upload)).status_code == 410
    assert await what_is_left(idle_service) == NOTHING


async def test_terminating_a_finished_upload_leaves_its_image(idle_service: Service) -> None:
    tus = of_user(idle_service)
    done = await tus.create(len(DATA[0]), DATA[0])

    deleted = await tus.delete(done.headers["location"])

    assert deleted.status_code == 204
    assert (await tus.head(done.headers["location"])).status_code == 410
    assert (await idle_service.owner.get(done.headers["imagesvc-url"])).status_code == 200


async def test_a_file_that_is_no_image_is_refused_and_releases_its_slot(idle_service: Service) -> None:
    tus, _ = await of_link(idle_service, max_files=1)

    refused = [await tus.create(1000, b"x" * 1000), await tus.create(3, b"abc")]
    taken = await tus.create(len(DATA[0]), DATA[0])

    assert [verdict(answer) for answer in refused] == [(415, "unsupported-media-type")] * 2
    assert taken.headers["imagesvc-status"] == "created"
    assert (await what_is_left(idle_service))["objects"] == 1


# ---- links


async def test_an_unfinished_upload_holds_its_place_on_the_link(idle_service: Service) -> None:
    tus, link = await of_link(idle_service, max_files=1, max_bytes=100_000)
    upload = await tus.new(40_000, DATA[0][:100])

    held = await reserved(idle_service, link)
    second = await tus.create(100)
    other_way = await idle_service.anyone.put(f"{link['path']}/b.jpg", content=DATA[1])
    await tus.delete(upload)
    after = await idle_service.anyone.put(f"{link['path']}/b.jpg", content=DATA[1])

    assert held == (1, 40_000)
    assert verdict(second) == verdict(other_way) == (503, "link-reserved")
    assert int(second.headers["retry-after"]) > 0
    assert after.status_code == 201


async def test_an_upload_has_no_more_room_than_its_link(idle_service: Service) -> None:
    tus, _ = await of_link(idle_service, max_bytes=1000)

    answers = [await tus.create(1001), await tus.create(1000), await tus.create(1)]

    assert [answer.status_code for answer in answers] == [413, 201, 503]


async def test_uploads_in_progress_may_end_after_expiry_but_not_after_revocation(idle_service: Service) -> None:
    (tus, expired), (other_tus, revoked) = await of_link(idle_service), await of_link(idle_service)
    begun, stopped, last_bytes = (
        await tus.new(len(DATA[0])),
        await other_tus.new(100),
        await other_tus.new(len(DATA[1])),
    )
    await expire_link(idle_service, expired)

    async with patching(idle_service.url, other_tus, last_bytes, 0, len(DATA[1])) as connection:
        await idle_service.owner.delete(f"/v1/links/{revoked['id']}")
        await connection.send(DATA[1])
        under_way = await connection.answer()
    went_on, anew = await tus.patch(begun, 0, DATA[0]), await tus.create(100)
    withdrawn = [await other_tus.patch(stopped, 0, b"x"), await other_tus.head(stopped), await other_tus.create(100)]

    assert went_on.headers["imagesvc-status"] == "created"
    assert verdict(anew) == (410, "link-expired")
    assert [answer.status_code for answer in withdrawn] == [410] * 3
    assert (under_way.status, under_way.json()["type"]) == (410, "/problems/link-revoked")
    await let_expire(idle_service)
    await idle_service.background.expiry.expire()
    assert await reserved(idle_service, revoked) == (0, 0)
    assert (await what_is_left(idle_service))["objects"] == 1


# ---- the worker takes up what an API left


async def test_a_complete_upload_whose_api_died_is_admitted_by_a_worker(idle_service: Service) -> None:
    tus = of_user(idle_service)
    upload = await tus.new(len(DATA[0]), DATA[0][:-1], Upload_Metadata=metadata(filename="a.jpg"))
    # as if the API had died after the transaction that counted the last byte: the tail is the whole file
    servers = idle_service.background.servers
    async with servers.database.sessions.begin() as session:
        key = (await session.execute(text("SELECT tail_key FROM resumable_uploads"))).scalar_one()
        await servers.storage.put(key, DATA[0], media_type="image/jpeg", until=float("inf"))
        await session.execute(text("UPDATE resumable_uploads SET tail_bytes = length, state = 'finishing'"))
        insert = """INSERT INTO tasks (id, kind, payload, dedupe_key)
            SELECT gen_random_uuid(), 'finish_resumable', jsonb_build_object('resumable_id', id),
                   'finish_resumable:' || id FROM resumable_uploads RETURNING id"""
        task_id = (await session.execute(text(insert))).scalar_one()

    await run_task({"runner": idle_service.background.runner}, str(task_id))

    reported = await tus.head(upload)
    assert reported.headers["imagesvc-status"] == "created"
    assert (await what_is_left(idle_service))["objects"] == 1
