"""Deletion: an image is 404 on every route at once, and its file is deleted with the last reference."""

import asyncio
import time
import uuid

import httpx
from sqlalchemy import text

from imagesvc.accounts.service import ADMIN_ID
from tests.images.uploads import send
from tests.support.bookkeeping import owned_keys, stored_keys
from tests.support.images import jpeg
from tests.support.processes import until
from tests.support.service import Service
from tests.support.traces import NOTHING, traces

ONLY_THE_BATCH = NOTHING | {"batches": 1}
"""The batch of the upload request stays. It contains nothing about the file."""


async def answers_of_every_route(service: Service, sent: dict[str, str]) -> list[httpx.Response]:
    image = f"/v1/images/{sent['image_id']}"
    below = ["", "/original", "/renditions/thumb.webp", "/renditions/thumb.jpg"]
    return [
        *[await service.owner.get(f"{image}{path}") for path in below],
        await service.owner.head(f"{image}/original"),
        await service.owner.get(f"/v1/uploads/{sent['upload_id']}"),
        await service.owner.delete(image),
    ]


async def add_image_of_another(service: Service, image_id: str) -> None:
    """Add a second image of the blob, as an upload of the same content by another account does."""
    async with service.background.servers.database.sessions.begin() as session:
        other = uuid.uuid4()
        await session.execute(
            text("INSERT INTO users (id, account, role) VALUES (:id, 'other', 'member')"), {"id": other}
        )
        await session.execute(
            text(
                "INSERT INTO images (id, owner_id, blob_id, title, media_type, state) "
                "SELECT :id, :owner, blob_id, 'theirs', media_type, state FROM images WHERE id = :image"
            ),
            {"id": uuid.uuid4(), "owner": other, "image": uuid.UUID(image_id)},
        )


async def test_a_deleted_image_is_404_on_every_route_and_its_objects_are_deleted(service: Service) -> None:
    sent = await send(service, jpeg(seed=1))
    await service.image_of(sent)
    await service.owner.get(f"{sent['url']}/renditions/medium.jpg")
    stored = await stored_keys(service.background.servers)

    deleted = await service.owner.delete(sent["url"])
    answers = await answers_of_every_route(service, sent)

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert [answer.status_code for answer in answers] == [404] * 7
    assert len(stored) == 4
    await service.stop_worker()
    assert await traces(service) == ONLY_THE_BATCH


async def test_deleting_an_image_keeps_content_that_another_owner_has(service: Service) -> None:
    sent = await send(service, jpeg(seed=1))
    await service.image_of(sent)
    await add_image_of_another(service, sent["image_id"])
    await service.stop_worker()

    await service.owner.delete(sent["url"])
    kept = await traces(service)

    assert (kept["images"], kept["blobs"], kept["objects"]) == (1, 1, 3)


async def test_the_file_is_deleted_with_the_image_of_its_last_owner(service: Service) -> None:
    sent = await send(service, jpeg(seed=1))
    await service.image_of(sent)
    await add_image_of_another(service, sent["image_id"])
    await service.stop_worker()
    images = await image_ids(service)

    deleted = await asyncio.gather(*(service.owner.delete(f"/v1/images/{image_id}") for image_id in images))

    assert [answer.status_code for answer in deleted] == [204, 204]
    assert await traces(service) == ONLY_THE_BATCH


async def image_ids(service: Service) -> list[str]:
    async with service.background.servers.database.engine.connect() as connection:
        return [str(found) for found in (await connection.execute(text("SELECT id FROM images"))).scalars()]


async def test_an_image_deleted_before_processing_leaves_nothing(idle_service: Service) -> None:
    sent = await send(idle_service, jpeg(seed=1))

    deleted = await idle_service.owner.delete(sent["url"])
    before = await owned_keys(idle_service.background.servers)
    idle_service.start_worker()
    await until_idle(idle_service)
    await idle_service.stop_worker()

    assert deleted.status_code == 204
    assert len(before) == 1
    assert await traces(idle_service) == ONLY_THE_BATCH


async def until_idle(service: Service) -> None:
    async def is_idle() -> bool:
        return (await count_rows(service, "tasks")) == 0

    await until(is_idle)


async def count_rows(service: Service, table: str, where: str = "true") -> int:
    async with service.background.servers.database.engine.connect() as connection:
        return int((await connection.execute(text(f"SELECT count(*) FROM {table} WHERE {where}"))).scalar_one())


async def test_an_image_deleted_during_processing_leaves_nothing(idle_service: Service) -> None:
    sent = await send(idle_service, jpeg(seed=1, size=(3000, 2000)))

    async def is_running() -> bool:
        return await count_rows(idle_service, "tasks", "state = 'running'") == 1

    idle_service.start_worker()
    await until(is_running)
    deleted = await idle_service.owner.delete(sent["url"])
    afterwards = await idle_service.owner.get(sent["url"])
    await until_idle(idle_service)
    await idle_service.stop_worker()

    assert (deleted.status_code, afterwards.status_code) == (204, 404)
    assert await traces(idle_service) == ONLY_THE_BATCH


async def test_a_file_sent_again_while_its_deleted_image_is_processed_is_a_new_image(idle_service: Service) -> None:
    data = jpeg(seed=1, size=(3000, 2000))
    first = await send(idle_service, data)

    async def is_running() -> bool:
        return await count_rows(idle_service, "tasks", "state = 'running'") == 1

    idle_service.start_worker()
    await until(is_running)
    await idle_service.owner.delete(first["url"])
    second = await send(idle_service, data)
    image = await idle_service.image_of(second)
    await until_idle(idle_service)
    await idle_service.stop_worker()

    assert (second["status"], image["state"]) == ("created", "ready")
    assert second["image_id"] != first["image_id"]
    kept = await traces(idle_service)
    assert (kept["images"], kept["blobs"], kept["uploads"], kept["objects"]) == (1, 1, 1, 4)


async def test_of_concurrent_deletions_of_an_image_one_succeeds(service: Service) -> None:
    sent = await send(service, jpeg(seed=1))
    await service.image_of(sent)
    await service.stop_worker()

    answers = await asyncio.gather(*(service.owner.delete(sent["url"]) for _ in range(10)))

    assert sorted(answer.status_code for answer in answers) == [204] + [404] * 9
    assert await traces(service) == ONLY_THE_BATCH


async def test_deletion_removes_the_receipt_and_frees_no_file_of_the_links_limit(service: Service) -> None:
    link = await service.new_link(max_files=1)
    sent = (await service.anyone.put(f"{link['path']}/a.jpg", content=jpeg(seed=1))).json()["results"][0]
    image = await service.image_of(sent)

    await service.owner.delete(f"/v1/images/{image['id']}")
    receipt = await service.anyone.get(sent["url"])
    another = await service.anyone.put(f"{link['path']}/b.jpg", content=jpeg(seed=2))
    again = await service.anyone.put(f"{link['path']}/a.jpg", content=jpeg(seed=1))

    assert (receipt.status_code, another.status_code) == (404, 410)
    assert (again.status_code, again.json()["results"][0]["status"]) == (200, "duplicate")
    assert str(ADMIN_ID) == image["owner_id"]


async def test_a_request_that_waits_for_an_image_ends_when_it_is_deleted(idle_service: Service) -> None:
    sent = await send(idle_service, jpeg(seed=1))
    waiting = asyncio.create_task(idle_service.owner.get(sent["url"], params={"wait": 30}))
    await idle_service.owner.get(sent["url"])
    begun = time.monotonic()

    await idle_service.owner.delete(sent["url"])
    answer = await waiting

    assert answer.status_code == 404
    assert time.monotonic() - begun < 25
