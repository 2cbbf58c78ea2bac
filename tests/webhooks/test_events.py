"""The events: when they occur, which accounts get them, and their signatures."""

import base64
import uuid
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError
from standardwebhooks.webhooks import Webhook

from imagesvc.accounts.service import ADMIN_ID
from tests.images.uploads import send
from tests.support.image_server import ImageServer
from tests.support.images import jpeg, truncated_jpeg
from tests.support.people import People
from tests.support.service import Service
from tests.support.sql import sql
from tests.webhooks.webhook_requests import log_of, make_event, received, settled_log, subscribe, verified

PICTURE = jpeg(seed=1, size=(64, 48))


async def test_a_receiver_gets_signed_events_of_processed_images(hook_service: Service, receiver: ImageServer) -> None:
    webhook = await subscribe(hook_service.owner, receiver.url("/hook"), "image.ready", "image.rejected")
    good = await send(hook_service, PICTURE)
    bad = await send(hook_service, truncated_jpeg(keep=0.3))

    requests = await received(receiver, 2)
    log = await settled_log(hook_service.owner, webhook, 2)

    events = [verified(request, webhook["secret"]) for request in requests]
    by_image = {event["data"]["image_id"]: event for event in events}
    ready, rejected = by_image[good["image_id"]], by_image[bad["image_id"]]
    assert (ready["type"], rejected["type"]) == ("image.ready", "image.rejected")
    assert ready["timestamp"].endswith("Z")
    assert ready["data"] == {
        "image_id": good["image_id"],
        "state": "ready",
        "problem": None,
        "title": "a",
        "width": 64,
        "height": 48,
        "media_type": "image/jpeg",
        "sha256": good["sha256"],
        "url": good["url"],
    }
    assert rejected["data"]["problem"]["type"] == "/problems/broken-image"
    assert {request.headers["webhook-id"] for request in requests} == {
        f"msg_{uuid.UUID(entry['id']).hex}" for entry in log
    }
    assert [(entry["state"], entry["attempts"], entry["response_status"]) for entry in log] == [
        ("delivered", 1, 204)
    ] * 2
    assert {entry["payload"]["type"] for entry in log} == {"image.ready", "image.rejected"}
    assert {request.headers["content-type"] for request in requests} == {"application/json"}
    assert not {"authorization", "cookie"} & set(requests[0].headers)

    other = base64.b64encode(b"x" * 32).decode()
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(requests[0].body, dict(requests[0].headers))


async def test_a_batch_is_announced_once_when_all_of_its_images_are_processed(
    hook_service: Service, receiver: ImageServer
) -> None:
    webhook = await subscribe(hook_service.owner, receiver.url("/hook"), "batch.finished")
    images = [PICTURE, PICTURE, truncated_jpeg(keep=0.3), b"no picture"]
    body = {"images": [{"file": base64.b64encode(image).decode()} for image in images]}
    batch = (await hook_service.owner.post("/v1/batches", json=body)).json()["batch_id"]
    link = await hook_service.new_link()
    raw = (await hook_service.anyone.put(f"{link['path']}/b.jpg", content=jpeg(seed=2, size=(64, 48)))).json()[
        "batch_id"
    ]

    log = await settled_log(hook_service.owner, webhook, 2)

    by_batch = {delivery["payload"]["data"]["batch_id"]: delivery["payload"] for delivery in log}
    assert by_batch[batch]["type"] == "batch.finished"
    assert by_batch[batch]["data"] == {
        "batch_id": batch,
        "uploads": 3,
        "duplicates": 1,
        "refused_files": 1,
        "url": f"/v1/batches/{batch}",
        "images": {"ready": 1, "rejected": 1, "failed": 0},
    }
    assert by_batch[raw]["data"]["images"] == {"ready": 1, "rejected": 0, "failed": 0}
    assert await sql(hook_service, "SELECT 1 FROM tasks") == []


async def test_a_batch_whose_process_was_killed_is_announced_after_ten_idle_minutes(
    hook_service: Service, receiver: ImageServer
) -> None:
    webhook = await subscribe(hook_service.owner, receiver.url("/hook"), "batch.finished")
    await hook_service.stop_worker()
    sent = await send(hook_service, PICTURE)
    task = (
        await sql(
            hook_service,
            "UPDATE tasks SET payload = payload - 'request_ended' WHERE kind = 'announce_batch' RETURNING id",
        )
    )[0]["id"]
    processing = (await sql(hook_service, "SELECT id FROM tasks WHERE kind = 'process_image'"))[0]["id"]
    runner = hook_service.background.runner

    async def announce() -> list[Any]:
        await sql(hook_service, "UPDATE tasks SET due_at = now() WHERE kind = 'announce_batch'")
        await runner.run(task)
        return await log_of(hook_service.owner, webhook)

    await runner.run(processing)
    too_early = await announce()
    await sql(hook_service, "UPDATE uploads SET received_at = now() - interval '11 minutes'")
    await sql(hook_service, "UPDATE batches SET created_at = now() - interval '11 minutes'")
    later = await announce()

    assert (too_early, len(later)) == ([], 1)
    assert later[0]["payload"]["data"]["images"]["ready"] == 1
    assert (await hook_service.owner.get(sent["url"])).json()["state"] == "ready"


async def test_a_finished_job_is_announced(hook_service: Service, receiver: ImageServer) -> None:
    webhook = await subscribe(hook_service.owner, receiver.url("/hook"), "job.finished")
    receiver.serve("/a.jpg", PICTURE)
    await hook_service.owner.put("/v1/stores/S1", json={"store_name": "one", "area": "A"})
    visit = {"store_id": "S1", "visit_time": "2026-11-20T09:00:00Z", "image_url": [receiver.url("/a.jpg")]}
    answer = await hook_service.owner.post("/v1/jobs", json={"count": 1, "visits": [visit]})
    assert answer.status_code == 201, answer.text
    job = answer.json()["job_id"]

    picture, request = await received(receiver, 2)
    event = verified(request, webhook["secret"])
    counts = {"total": 1, "done": 1, "failed": 0, "cancelled": 0}

    assert picture.path == "/a.jpg"
    assert event["type"] == "job.finished"
    assert event["data"] == {"job_id": job, "status": "completed", "url": f"/v1/jobs/{job}", **counts}


async def test_events_without_an_enabled_subscription_create_no_deliveries(
    people: People, receiver: ImageServer
) -> None:
    service = people.service
    ann, bob = await people.new("ann"), await people.new("bob")
    failures = await subscribe(ann.client, receiver.url("/hook"), "image.failed")
    off = await subscribe(ann.client, receiver.url("/hook"))
    await ann.client.patch(f"/v1/webhooks/{off['id']}", json={"enabled": False})
    of_bob = await subscribe(bob.client, receiver.url("/hook"))

    sent = (await ann.client.post("/v1/images", files={"file": ("a.jpg", PICTURE)})).json()["results"][0]
    await ann.client.get(f"{sent['url']}?wait=30")

    logs = [
        await log_of(client, hook) for client, hook in ((ann.client, failures), (ann.client, off), (bob.client, of_bob))
    ]
    assert logs == [[], [], []]
    assert await sql(service, "SELECT 1 FROM tasks WHERE kind IN ('deliver_webhook', 'announce_batch')") == []


async def test_a_rolled_back_transaction_leaves_no_event(hook_service: Service, receiver: ImageServer) -> None:
    webhook = await subscribe(hook_service.owner, receiver.url("/hook"))
    database = hook_service.background.servers.database
    await hook_service.stop_worker()

    async with database.engine.connect() as connection:
        await connection.exec_driver_sql(
            f"SELECT webhook_event('{ADMIN_ID}', 'image.ready', gen_random_uuid(), '{{}}')"
        )
        inside = (await connection.exec_driver_sql("SELECT count(*) FROM webhook_deliveries")).scalar_one()
        await connection.rollback()

    assert inside == 1
    assert await log_of(hook_service.owner, webhook) == []
    assert await sql(hook_service, "SELECT 1 FROM tasks") == []


async def test_a_disabled_account_gets_no_events_and_a_deleted_one_leaves_no_rows(
    people: People, receiver: ImageServer
) -> None:
    service, ann, bob = people.service, await people.new("ann"), await people.new("bob")
    await subscribe(ann.client, receiver.url("/hook"))
    await subscribe(bob.client, receiver.url("/hook"))
    await service.stop_worker()
    await make_event(service, ann.id, str(uuid.uuid4()))
    await make_event(service, bob.id, str(uuid.uuid4()))
    await service.owner.patch(f"/v1/users/{ann.id}", json={"disabled": True})
    await make_event(service, ann.id, str(uuid.uuid4()))
    for task in await sql(
        service,
        "SELECT id FROM tasks WHERE kind = 'deliver_webhook' AND turn_of IN"
        " (SELECT id FROM webhooks WHERE owner_id = CAST(:ann AS uuid))",
        ann=ann.id,
    ):
        await service.background.runner.run(task["id"])
    of_ann = await sql(
        service,
        "SELECT d.state, d.error, d.attempts FROM webhook_deliveries d JOIN webhooks w"
        " ON w.id = d.webhook_id WHERE w.owner_id = CAST(:ann AS uuid)",
        ann=ann.id,
    )

    deleted = [await service.owner.delete(f"/v1/users/{person.id}") for person in (ann, bob)]
    for task in await sql(service, "SELECT id FROM tasks WHERE kind = 'remove_account'"):
        await service.background.runner.run(task["id"])

    assert of_ann == [{"state": "failed", "error": "account-disabled", "attempts": 0}]
    assert [answer.status_code for answer in deleted] == [204, 204]
    assert await sql(service, "SELECT account FROM users") == [{"account": "admin"}]
    assert await sql(service, "SELECT 1 FROM webhook_deliveries") == await sql(service, "SELECT 1 FROM tasks") == []
    assert receiver.requests == []
