"""Loose objects and the reaper: invariants 2 and 3 of the design."""

import asyncio
import time
from uuid import UUID

import pytest
from sqlalchemy import text

from imagesvc.accounts.service import ADMIN_ID
from imagesvc.db import new_id
from imagesvc.storage import loose_objects
from imagesvc.storage.bucket import HoldEnded, new_key
from imagesvc.storage.loose_objects import KeyReaped
from imagesvc.uploads import queries
from tests.support.bookkeeping import loose_states, make_due, owned_keys, stored_keys
from tests.support.images import jpeg
from tests.support.service import Service

FOREVER = float("inf")


async def held_object(service: Service) -> str:
    servers, key = service.background.servers, new_key("o")
    async with servers.database.sessions.begin() as session:
        await loose_objects.hold(session, [key], seconds=600)
    await servers.storage.put(key, b"bytes", media_type="image/jpeg", until=FOREVER)
    return key


async def test_the_reaper_leaves_a_held_key_alone_until_its_hold_expires(idle_service: Service) -> None:
    key = await held_object(idle_service)

    await idle_service.background.reaper.reap()

    assert await stored_keys(idle_service.background.servers) == {key}
    assert await loose_states(idle_service.background.servers) == ["held"]


async def test_an_abandoned_object_is_deleted_twice_before_its_row_is_deleted(idle_service: Service) -> None:
    servers, reaper = idle_service.background.servers, idle_service.background.reaper
    key = await held_object(idle_service)
    await make_due(servers, "held")

    await reaper.reap()
    after_first = (await stored_keys(servers), await loose_states(servers))
    await servers.storage.put(key, b"a late request of the writer", media_type="image/jpeg", until=FOREVER)
    await reaper.reap()
    before_tombstone_ends = await stored_keys(servers)
    await make_due(servers, "gone")
    await reaper.reap()

    assert after_first == (set(), ["gone"])
    assert before_tombstone_ends == {key}
    assert (await stored_keys(servers), await loose_states(servers)) == (set(), [])


async def test_a_reaper_finishes_the_rows_that_another_left_reaping(idle_service: Service) -> None:
    servers = idle_service.background.servers
    await held_object(idle_service)
    async with servers.database.sessions.begin() as session:
        await session.execute(text("UPDATE loose_objects SET state = 'reaping', not_before = now() - interval '1 s'"))

    await idle_service.background.reaper.reap()

    assert await stored_keys(servers) == set()


async def test_concurrent_reapers_refund_a_reservation_once(idle_service: Service) -> None:
    servers, reaper = idle_service.background.servers, idle_service.background.reaper
    link = await idle_service.new_link(max_files=5, max_bytes=1000)
    for _ in range(3):
        reservation = queries.LinkReservation(
            link=UUID(link["id"]), key=new_key("o"), s3_upload_id=None, bytes=100, is_exact=True, seconds=600.0
        )
        assert (await queries.RESERVE_ON_LINK.run(servers.database, reservation)).refusal is None
    reserved = (await idle_service.owner.get(f"/v1/links/{link['id']}")).json()
    await make_due(servers, "held")

    await asyncio.gather(*(reaper.reap() for _ in range(4)))
    await make_due(servers, "reaping")
    await asyncio.gather(*(reaper.reap() for _ in range(4)))

    after = (await idle_service.owner.get(f"/v1/links/{link['id']}")).json()
    assert (reserved["reserved_files"], reserved["reserved_bytes"]) == (3, 300)
    assert (after["reserved_files"], after["reserved_bytes"]) == (0, 0)


async def test_taking_a_reaped_key_rolls_the_transaction_back(idle_service: Service) -> None:
    servers = idle_service.background.servers
    kept, reaped = await held_object(idle_service), await held_object(idle_service)
    async with servers.database.sessions.begin() as session:
        await loose_objects.release(session, [reaped])

    with pytest.raises(KeyReaped):
        async with servers.database.sessions.begin() as session:
            await loose_objects.take(session, [kept, reaped])

    assert await loose_states(servers) == ["held", "reaping"]


async def test_no_write_begins_after_its_hold_ended(idle_service: Service) -> None:
    servers = idle_service.background.servers

    with pytest.raises(HoldEnded):
        await servers.storage.put(new_key("o"), b"late", media_type="image/jpeg", until=time.monotonic())

    assert await stored_keys(servers) == set()


async def test_admission_with_a_reaped_key_reports_it_and_leaves_no_rows(idle_service: Service) -> None:
    servers = idle_service.background.servers
    key = await held_object(idle_service)
    await make_due(servers, "held")
    await idle_service.background.reaper.reap()

    record = queries.AdmissionRecord(
        upload=new_id(),
        image=new_id(),
        blob=new_id(),
        task=new_id(),
        batch=None,
        position=0,
        owner=ADMIN_ID,
        scope=UUID(int=0),
        link=None,
        way="user",
        sha256=b"\0" * 32,
        bytes=5,
        media_type="image/jpeg",
        key=key,
        filename="a.jpg",
        title="a",
        description=None,
        visibility="private",
        captured_at=None,
        store_id=None,
        store_name=None,
        camera_id=None,
        barcode=None,
    )

    row = await queries.ADMIT_FILE.run(servers.database, record)

    assert row.outcome == "key-lost"
    assert await owned_keys(servers) == set()


async def test_concurrent_uploads_of_one_file_leave_one_object_after_reaping(service: Service) -> None:
    servers, data = service.background.servers, jpeg(seed=1)

    answers = await asyncio.gather(
        *(service.owner.post("/v1/images", files=[("file", ("a.jpg", data))]) for _ in range(30))
    )
    await service.image_of(answers[0].json()["results"][0])
    await service.background.reaper.reap()

    assert await loose_states(servers) == ["gone"] * len(await loose_states(servers))
    stored = await stored_keys(servers)
    assert stored == await owned_keys(servers)
    assert len([key for key in stored if key.startswith("o/")]) == 1


async def test_concurrent_deletes_and_uploads_lose_no_acknowledged_image(service: Service) -> None:
    servers, data = service.background.servers, jpeg(seed=2)

    async def upload_and_delete(times: int) -> None:
        for _ in range(times):
            answer = await service.owner.post("/v1/images", files=[("file", ("a.jpg", data))])
            assert answer.status_code in (200, 201), answer.text
            image_id = answer.json()["results"][0]["image_id"]
            assert (await service.owner.delete(f"/v1/images/{image_id}")).status_code in (204, 404)

    await asyncio.gather(*(upload_and_delete(6) for _ in range(6)))
    last = (await service.owner.post("/v1/images", files=[("file", ("a.jpg", data))])).json()["results"][0]
    image = await service.image_of(last)

    assert image["state"] == "ready"
    assert (await service.owner.get(image["original_url"])).content == data
    await service.background.reaper.reap()
    assert await stored_keys(servers) == await owned_keys(servers)
