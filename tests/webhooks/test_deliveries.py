"""Deliveries to receivers that fail: retries, order, disabling with a note, and redelivery."""

import asyncio
import uuid

from imagesvc.accounts.service import ADMIN_ID
from imagesvc.fetching import Fetcher
from imagesvc.keyring import KeyRing
from imagesvc.tasks.runner import Runner
from imagesvc.webhooks.batch_events import BatchFinishedTask
from imagesvc.webhooks.delivery_task import DeliveryTask
from imagesvc.webhooks.handlers import kinds
from tests.support.image_server import ImageServer, answer, endless, image_server, raw
from tests.support.service import Service
from tests.support.sql import sql
from tests.webhooks.webhook_requests import log_of, make_event, received, settled_log, subscribe, verified

OWNER = str(ADMIN_ID)


def subject() -> str:
    return str(uuid.uuid4())


async def test_a_failed_delivery_is_retried_with_the_same_id(hook_service: Service, receiver: ImageServer) -> None:
    receiver.behave("/shaky", answer(b"", status=500), raw(b"nonsense"), answer(b"", status=200))
    webhook = await subscribe(hook_service.owner, receiver.url("/shaky"))

    await make_event(hook_service, OWNER, subject())

    log = await settled_log(hook_service.owner, webhook, 1)
    requests = await received(receiver, 3)
    assert (log[0]["state"], log[0]["attempts"], log[0]["response_status"], log[0]["error"]) == (
        "delivered",
        3,
        200,
        None,
    )
    assert len({request.headers["webhook-id"] for request in requests}) == 1
    assert [verified(request, webhook["secret"]) for request in requests] == [log[0]["payload"]] * 3


async def test_events_of_one_subject_are_delivered_in_order(hook_service: Service, receiver: ImageServer) -> None:
    receiver.behave("/shaky", answer(b"", status=503), answer(b"", status=200))
    webhook = await subscribe(hook_service.owner, receiver.url("/shaky"))
    await hook_service.stop_worker()
    image = subject()
    for number in range(3):
        await make_event(hook_service, OWNER, image, data=f'{{"number": {number}}}')

    hook_service.start_worker()
    await settled_log(hook_service.owner, webhook, 3)

    numbers = [verified(one, webhook["secret"])["data"]["number"] for one in receiver.requests]
    assert numbers == [0, 0, 1, 2]


async def test_the_last_failed_attempt_disables_the_webhook_with_a_note(
    hook_service: Service, receiver: ImageServer
) -> None:
    owner = hook_service.owner
    receiver.serve("/broken", b"", status=500)
    webhook = await subscribe(owner, receiver.url("/broken"))
    path = f"/v1/webhooks/{webhook['id']}"
    await make_event(hook_service, OWNER, subject())
    await make_event(hook_service, OWNER, subject())

    log = await settled_log(owner, webhook, 2)
    disabled = (await owner.get(path)).json()
    await make_event(hook_service, OWNER, subject())
    refused = [
        await owner.post(f"{path}/redeliver"),
        await owner.post(f"{path}/deliveries/{log[0]['id']}/redeliver"),
    ]
    receiver.serve("/broken", b"")
    enabled = (await owner.patch(path, json={"enabled": True})).json()
    again = await owner.post(f"{path}/redeliver", json={"since": "2026-01-01T00:00:00Z"})
    later = await owner.post(f"{path}/redeliver", json={"since": "2199-01-01T00:00:00Z"})
    delivered = await settled_log(owner, webhook, 2)

    assert {entry["state"] for entry in log} == {"failed"}
    assert 3 in {entry["attempts"] for entry in log}
    assert (disabled["state"], disabled["note"]) == (
        "disabled",
        "No delivery succeeded for a day. The last error was http-500.",
    )
    assert [(one.status_code, one.json()["type"]) for one in refused] == [(409, "/problems/webhook-disabled")] * 2
    assert (enabled["state"], enabled["note"], enabled["disabled_at"]) == ("enabled", None, None)
    assert (again.status_code, again.json()) == (202, {"count": 2, "more": False})
    assert later.json()["count"] == 0
    assert {entry["state"] for entry in delivered} == {"delivered"}
    assert await sql(hook_service, "SELECT 1 FROM tasks") == []


async def test_one_refused_event_among_delivered_ones_does_not_disable_the_webhook(
    hook_service: Service, receiver: ImageServer
) -> None:
    receiver.behave("/picky", *[answer(b"", status=400)] * 2, answer(b"", status=200), answer(b"", status=400))
    webhook = await subscribe(hook_service.owner, receiver.url("/picky"))
    await hook_service.stop_worker()
    await make_event(hook_service, OWNER, subject())
    first = (await sql(hook_service, "SELECT id FROM tasks"))[0]["id"]
    run = hook_service.background.runner.run
    for _ in range(2):
        await run(first)
        await sql(hook_service, "UPDATE tasks SET due_at = now()")
    await make_event(hook_service, OWNER, subject())
    second = (await sql(hook_service, "SELECT id FROM tasks WHERE attempts = 0"))[0]["id"]

    await run(second)
    await run(first)

    log = await log_of(hook_service.owner, webhook)
    assert [entry["state"] for entry in log] == ["failed", "delivered"]
    assert (await hook_service.owner.get(f"/v1/webhooks/{webhook['id']}")).json()["state"] == "enabled"


async def test_a_receiver_that_answers_410_gets_no_more_events(hook_service: Service, receiver: ImageServer) -> None:
    receiver.serve("/gone", b"", status=410)
    webhook = await subscribe(hook_service.owner, receiver.url("/gone"))

    await make_event(hook_service, OWNER, subject())

    log = await settled_log(hook_service.owner, webhook, 1)
    found = (await hook_service.owner.get(f"/v1/webhooks/{webhook['id']}")).json()
    assert (log[0]["state"], log[0]["attempts"], log[0]["error"]) == ("failed", 1, "http-410")
    assert (found["state"], found["note"]) == ("disabled", "The receiver answered 410: it wants no more events.")


async def test_redirects_are_not_followed_and_each_delivery_checks_the_address(
    hook_service: Service, receiver: ImageServer
) -> None:
    async with image_server("127.0.0.2") as canary:
        moved = await subscribe(hook_service.owner, receiver.redirect("/moved", canary.url("/")))
        inside = await subscribe(hook_service.owner, receiver.url("/hook"))
        await sql(
            hook_service,
            "UPDATE webhooks SET url = :url WHERE id = CAST(:id AS uuid)",
            url=canary.url(),
            id=inside["id"],
        )

        await make_event(hook_service, OWNER, subject())

        errors = [(await settled_log(hook_service.owner, hook, 1))[0]["error"] for hook in (moved, inside)]
        assert errors == ["http-302", "address-refused"]
        assert canary.connections == 0


async def test_a_delivered_event_can_be_sent_again_with_its_id(hook_service: Service, receiver: ImageServer) -> None:
    webhook = await subscribe(hook_service.owner, receiver.url("/hook"))
    await make_event(hook_service, OWNER, subject())
    log = await settled_log(hook_service.owner, webhook, 1)

    again = await hook_service.owner.post(f"/v1/webhooks/{webhook['id']}/deliveries/{log[0]['id']}/redeliver")
    unknown = await hook_service.owner.post(f"/v1/webhooks/{webhook['id']}/deliveries/{subject()}/redeliver")

    requests = await received(receiver, 2)
    assert (again.status_code, again.json()["state"]) == (202, "pending")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "/problems/delivery-not-found")
    assert requests[0].headers["webhook-id"] == requests[1].headers["webhook-id"]


async def test_two_workers_with_one_delivery_send_it_once(hook_service: Service, receiver: ImageServer) -> None:
    await subscribe(hook_service.owner, receiver.url("/hook"))
    await hook_service.stop_worker()
    await make_event(hook_service, OWNER, subject())
    task = (await sql(hook_service, "SELECT id FROM tasks"))[0]["id"]

    done = await asyncio.gather(*(hook_service.background.runner.run(task) for _ in range(3)))

    assert sorted(done) == [False, False, True]
    assert len(receiver.requests) == 1


async def test_deleting_a_webhook_during_a_delivery_leaves_no_rows(
    hook_service: Service, receiver: ImageServer
) -> None:
    receiver.behave("/slow", endless(b"", b"", pause_seconds=0.02))
    webhook = await subscribe(hook_service.owner, receiver.url("/slow"))
    await make_event(hook_service, OWNER, subject())
    await make_event(hook_service, OWNER, subject())
    await received(receiver, 1)

    deleted = await hook_service.owner.delete(f"/v1/webhooks/{webhook['id']}")
    await hook_service.stop_worker()
    for task in await sql(hook_service, "SELECT id FROM tasks"):
        await hook_service.background.runner.run(task["id"])

    assert deleted.status_code == 204
    assert (await hook_service.owner.get(f"/v1/webhooks/{webhook['id']}")).status_code == 404
    assert (
        await sql(hook_service, "SELECT 1 FROM webhook_deliveries")
        == await sql(hook_service, "SELECT 1 FROM tasks")
        == []
    )


async def test_a_secret_that_can_no_longer_be_read_disables_its_webhook(
    hook_service: Service, receiver: ImageServer
) -> None:
    webhook = await subscribe(hook_service.owner, receiver.url("/hook"))
    await hook_service.stop_worker()
    await make_event(hook_service, OWNER, subject())
    task = (await sql(hook_service, "SELECT id FROM tasks"))[0]["id"]
    settings, database = hook_service.settings, hook_service.background.servers.database
    other_keys = KeyRing([("k9", b"9" * 32)])

    async with Fetcher(settings) as fetcher:
        handlers = kinds(settings, DeliveryTask(settings, database, other_keys, fetcher), BatchFinishedTask(database))
        await Runner(settings, database, handlers).run(task)

    found = (await hook_service.owner.get(f"/v1/webhooks/{webhook['id']}")).json()
    assert found["note"] == "The service's secret keys were changed. Create the webhook again."
    assert (await log_of(hook_service.owner, webhook))[0]["error"] == "secret-unreadable"
    assert receiver.requests == []


async def test_old_deliveries_are_deleted_unless_they_are_pending(hook_service: Service, receiver: ImageServer) -> None:
    webhook = await subscribe(hook_service.owner, receiver.url("/hook"))
    await make_event(hook_service, OWNER, subject())
    await settled_log(hook_service.owner, webhook, 1)
    await hook_service.stop_worker()
    await make_event(hook_service, OWNER, subject())
    await sql(hook_service, "UPDATE webhook_deliveries SET created_at = now() - interval '31 days'")

    deleted = await hook_service.background.webhooks.forget()

    assert deleted == 1
    assert [entry["state"] for entry in await log_of(hook_service.owner, webhook)] == ["pending"]
