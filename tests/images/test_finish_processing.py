"""The end of processing as one database function: what it writes, and what happened between the reading and it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from imagesvc.images import processing_tasks
from imagesvc.images.derive import Derived, Deriver
from imagesvc.processing.contract import Rejected
from imagesvc.worker import run_task
from tests.images.uploads import send
from tests.support.bookkeeping import loose_states, make_due, owned_keys, stored_keys
from tests.support.images import exif_jpeg, jpeg, truncated_jpeg
from tests.support.service import Service
from tests.support.sql import sql

TAGS: dict[str, Any] = {
    "taken": "2026:09:02 10:11:12",
    "offset": None,
    "subseconds": "123",
    "latitude": 48.85,
    "longitude": -2.35,
    "altitude": 12.5,
}
OWN = ("id", "blob_id", "sha256", "key", "bytes", "created_at", "processed_at", "updated_at")
"""Columns that differ between two files with the same picture."""


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Awaitable[object]]], None]:
    """Has something happen after the sandbox has run and its files are stored, before the result is written."""

    def arrange(happens: Callable[[], Awaitable[object]]) -> None:
        derive = Deriver.derive

        async def and_then(*arguments: Any, **named: Any) -> Derived | Rejected:
            result = await derive(*arguments, **named)
            await happens()
            return result

        monkeypatch.setattr(Deriver, "derive", and_then)

    return arrange


async def run(service: Service) -> None:
    for task in await sql(service, "SELECT id FROM tasks"):
        await run_task({"runner": service.background.runner}, str(task["id"]))


async def written(service: Service, name: str) -> list[dict[str, Any]]:
    """What processing wrote about the file of this name, without what belongs to that file alone."""
    blob = f"(SELECT blob_id FROM images WHERE title = '{name}')"
    queries = (
        f"SELECT * FROM blobs WHERE id = {blob}",
        f"SELECT * FROM images WHERE blob_id = {blob}",
        f"SELECT * FROM perceptual_hashes WHERE blob_id = {blob}",
        f"SELECT preset, format, width, height FROM renditions WHERE blob_id = {blob} ORDER BY preset",
        f"SELECT settled FROM uploads WHERE image_id = (SELECT id FROM images WHERE title = '{name}')",
    )
    rows = [row for query in queries for row in await sql(service, query)]
    unlike = {*OWN, "title", "filenames", "words", "names"}
    return [{name: value for name, value in row.items() if name not in unlike} for row in rows]


FILES = {
    "photo": lambda comment: exif_jpeg(seed=1, size=(400, 300), **TAGS) + comment,
    "plain": lambda comment: jpeg(seed=1, size=(40, 30)) + comment,
    "truncated": lambda comment: truncated_jpeg(seed=1) + comment,
    "no picture": lambda comment: jpeg(seed=1)[:60] + comment,
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("zone", [None, "Asia/Kolkata"])
async def test_it_writes_what_the_transaction_of_the_rare_ends_writes(
    idle_service: Service, kind: str, zone: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = idle_service
    await service.owner.put("/v1/stores/S1", json={"store_name": "S", "area": "A", "time_zone": zone})
    await send(service, FILES[kind](b"1"), title="one", store_id="S1")
    await run(service)

    async def refuse(*_: object) -> bool:
        return False

    monkeypatch.setattr(processing_tasks, "finish_processing", refuse)
    await send(service, FILES[kind](b"22"), title="two", store_id="S1")
    await run(service)

    one, two = await written(service, "one"), await written(service, "two")
    assert one == two
    assert {row["state"] for row in one if "state" in row} <= {"ready", "rejected"}
    if kind == "photo":
        assert one[1]["captured_offset_source"] == ("store" if zone else "unknown")
    servers = service.background.servers
    assert (await loose_states(servers), await stored_keys(servers)) == ([], await owned_keys(servers))


async def test_a_time_zone_that_changes_meanwhile_is_the_one_that_counts(
    idle_service: Service, between: Callable[[Callable[[], Awaitable[object]]], None]
) -> None:
    service = idle_service
    store = {"store_name": "S", "area": "A"}
    await service.owner.put("/v1/stores/S1", json={**store, "time_zone": "Asia/Kolkata"})
    sent = await send(service, FILES["photo"](b""), store_id="S1")
    between(lambda: service.owner.put("/v1/stores/S1", json={**store, "time_zone": "America/New_York"}))

    await run(service)

    captured = (await service.owner.get(sent["url"])).json()["captured"]
    assert (captured["offset_minutes"], captured["offset_source"]) == (-240, "store")


async def test_a_result_whose_lease_is_lost_is_not_written(
    idle_service: Service, between: Callable[[Callable[[], Awaitable[object]]], None]
) -> None:
    service, servers = idle_service, idle_service.background.servers
    sent = await send(service, FILES["plain"](b""))
    between(lambda: sql(service, "UPDATE tasks SET lease_token = gen_random_uuid()"))

    await run(service)

    assert (await service.owner.get(sent["url"])).json()["state"] == "pending"
    assert await sql(service, "SELECT preset FROM renditions") == []
    assert await loose_states(servers) == ["held"]
    assert len(await sql(service, "SELECT id FROM tasks")) == 1


async def test_a_result_whose_keys_were_reaped_is_not_written_and_tried_again(
    idle_service: Service, between: Callable[[Callable[[], Awaitable[object]]], None]
) -> None:
    service, servers = idle_service, idle_service.background.servers
    sent = await send(service, FILES["plain"](b""))
    is_first = True

    async def reap_once() -> None:
        nonlocal is_first
        if is_first:
            await make_due(servers, "held")
            await service.background.reaper.reap()
        is_first = False

    between(reap_once)

    await run(service)
    after_first = (await service.owner.get(sent["url"])).json()["state"]
    await sql(service, "UPDATE tasks SET due_at = now()")
    await run(service)

    assert after_first == "pending"
    image = (await service.owner.get(sent["url"])).json()
    assert (image["state"], len(image["renditions"])) == ("ready", 3)
    assert (await stored_keys(servers), await loose_states(servers)) == (await owned_keys(servers), ["gone"])


async def test_an_image_that_is_deleted_meanwhile_leaves_nothing(
    idle_service: Service, between: Callable[[Callable[[], Awaitable[object]]], None]
) -> None:
    service, servers = idle_service, idle_service.background.servers
    sent = await send(service, FILES["plain"](b""))
    between(lambda: service.owner.delete(sent["url"]))

    await run(service)
    await make_due(servers, "reaping")
    await service.background.reaper.reap()

    assert await sql(service, "SELECT id FROM blobs") == await sql(service, "SELECT id FROM tasks") == []
    assert await stored_keys(servers) == set()
