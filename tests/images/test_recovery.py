"""Failed and lost content is restored by the next upload of it; rejected content stays rejected."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from imagesvc.wiring import Servers
from tests.support.bookkeeping import make_due, owned_keys, stored_keys
from tests.support.images import jpeg, truncated_jpeg
from tests.support.processes import until
from tests.support.service import Service, running_service


async def execute(servers: Servers, statement: str) -> None:
    async with servers.database.sessions.begin() as session:
        await session.execute(text(statement))


async def send(service: Service, data: bytes, filename: str = "a.jpg") -> dict[str, str]:
    answer = await service.owner.post("/v1/images", files=[("file", (filename, data))])
    assert answer.status_code in (200, 201), answer.text
    result: dict[str, str] = answer.json()["results"][0]
    return result


async def test_failed_content_is_processed_again_when_it_is_uploaded_again(idle_service: Service) -> None:
    service, servers, data = idle_service, idle_service.background.servers, jpeg(seed=1)
    first = await send(service, data)
    await execute(servers, "DELETE FROM tasks")
    await execute(servers, "UPDATE blobs SET state = 'failed', problem = '{}'")
    await execute(servers, "UPDATE images SET state = 'failed', problem = '{}'")
    before = await owned_keys(servers)

    again = await send(service, data)
    service.start_worker()
    image = await service.image_of(again)

    assert (first["image_id"], again["status"]) == (again["image_id"], "duplicate")
    assert (image["state"], image["problem"]) == ("ready", None)
    await service.background.reaper.reap()
    assert await stored_keys(servers) == await owned_keys(servers)
    assert not before & await stored_keys(servers)


async def test_an_image_fails_for_a_lost_object_until_the_next_upload_of_the_file(
    idle_service: Service,
) -> None:
    service, servers, data = idle_service, idle_service.background.servers, jpeg(seed=2)
    sent = await send(service, data)
    for key in await stored_keys(servers):
        await servers.storage.delete(key)
    service.start_worker()
    lost = await service.image_of(sent)

    restored = await service.image_of(await send(service, data))

    assert (lost["state"], lost["problem"]["type"]) == ("failed", "/problems/object-lost")
    assert (restored["id"], restored["state"]) == (lost["id"], "ready")
    assert (await service.owner.get(restored["original_url"])).content == data


async def test_rejected_content_is_rejected_again_and_never_counted(service: Service) -> None:
    data = truncated_jpeg(seed=3)
    first = await service.image_of(await send(service, data))
    link = await service.new_link()

    again = (await service.anyone.put(f"{link['path']}/b.jpg", content=data)).json()["results"][0]

    assert first["state"] == "rejected"
    assert first["problem"]["type"] == "/problems/broken-image"
    assert (await service.image_of(again))["state"] == "rejected"
    stats = (await service.owner.get("/v1/stats")).json()
    assert (stats["formats"], stats["totals"]["uploads"], stats["totals"]["blobs"]) == ([], 0, 0)


@pytest.mark.parametrize(("scope", "objects"), [("all", 1), ("owner", 2)])
async def test_two_owners_share_one_stored_file_unless_deduplication_is_by_owner(
    settings_with: Callable[..., Settings], sandbox: Sandbox, scope: str, objects: int
) -> None:
    data = jpeg(seed=4)
    async with running_service(settings_with(dedupe_scope=scope), sandbox, with_worker=False) as service:
        servers = service.background.servers
        await execute(servers, "INSERT INTO users (id, account, role) VALUES (gen_random_uuid(), 'bob', 'member')")
        bobs = await service.new_link()
        await execute(servers, "UPDATE links SET owner_id = (SELECT id FROM users WHERE account = 'bob')")

        mine = await send(service, data)
        theirs = await service.anyone.put(f"{bobs['path']}/b.jpg", content=data)

        assert mine["status"] == theirs.json()["results"][0]["status"] == "created"
        assert len(await owned_keys(servers)) == objects


async def test_a_blob_deleted_before_its_task_ran_leaves_nothing(idle_service: Service) -> None:
    service, servers = idle_service, idle_service.background.servers
    sent = await send(service, jpeg(seed=5))

    deleted = await service.owner.delete(f"/v1/images/{sent['image_id']}")
    kept_for_the_task = await owned_keys(servers)
    service.start_worker()

    async def is_freed() -> bool:
        await make_due(servers, "reaping")
        await service.background.reaper.reap()
        return await stored_keys(servers) == set()

    await until(is_freed)
    assert deleted.status_code == 204
    assert len(kept_for_the_task) == 1
    assert await owned_keys(servers) == set()
