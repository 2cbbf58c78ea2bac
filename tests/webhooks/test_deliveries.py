"""How deliveries fare with receivers that fail: again later, in order, given up with a note, again on request."""

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
from tests.webhooks.hooks import arrived, log_of, make_event, settled_log, subscribe, verified

OWNER = str(ADMIN_ID)


def subject() -> str:
    return str(uuid.uuid4())


async def test_what_a_receiver_did_not_take_comes_again_under_the_same_id(
    telling: Service, receiver: ImageServer
) -> None:
    receiver.behave("/shaky", answer(b"", status=500), raw(b"nonsense"), answer(b"", status=200))
    webhook = await subscribe(telling.owner, receiver.url("/shaky"))

    await make_event(telling, OWNER, subject())

    log = await settled_log(telling.owner, webhook, 1)
    asked = await arrived(receiver, 3)
    assert (log[0]["state"], log[0]["attempts"], log[0]["response_status"], log[0]["error"]) == (
        "delivered",
        3,
        200,
        None,
    )
    assert len({one.headers["webhook-id"] for one in asked}) == 1
    assert [verified(one, webhook["secret"]) for one in asked] == [log[0]["payload"]] * 3


async def test_of_one_subject_the_next_event_waits_for_the_one_before(telling: Service, receiver: ImageServer) -> None:
    receiver.behave("/shaky", answer(b"", status=503), answer(b"", status=200))
    webhook = await subscribe(telling.owner, receiver.url("/shaky"))
    await telling.stop_worker()
    image = subject()
    for number in range(3):
        await make_event(telling, OWNER, image, data=f'{{"number": {number}}}')

    telling.start_worker()
    await settled_log(telling.owner, webhook, 3)

    told = [verified(one, webhook["secret"])["data"]["number"] for one in receiver.requests]
    assert told == [0, 0, 1, 2]


async def test_after_its_last_attempt_the_webhook_is_disabled_with_a_note_until_it_is_enabled(
    telling: Service, receiver: ImageServer
) -> None:
    owner = telling.owner
    receiver.serve("/broken", b"", status=500)
    webhook = await subscribe(owner, receiver.url("/broken"))
    path = f"/v1/webhooks/{webhook['id']}"
    await make_event(telling, OWNER, subject())
    await make_event(telling, OWNER, subject())

    log = await settled_log(owner, webhook, 2)
    disabled = (await owner.get(path)).json()
    await make_event(telling, OWNER, subject())
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
        "Nothing got through for a day; the last error was http-500.",
    )
    assert [(one.status_code, one.json()["type"]) for one in refused] == [(409, "/problems/webhook-disabled")] * 2
    assert (enabled["state"], enabled["note"], enabled["disabled_at"]) == ("enabled", None, None)
    assert (again.status_code, again.json()) == (202, {"count": 2, "more": False})
    assert later.json()["count"] == 0
    assert {entry["state"] for entry in delivered} == {"delivered"}
    assert await sql(telling, "SELECT 1 FROM tasks") == []


async def test_one_event_that_a_receiver_refuses_does_not_disable_what_takes_the_others(
    telling: Service, receiver: ImageServer
) -> None:
    receiver.behave("/picky", *[answer(b"", status=400)] * 2, answer(b"", status=200), answer(b"", status=400))
    webhook = await subscribe(telling.owner, receiver.url("/picky"))
    await telling.stop_worker()
    await make_event(telling, OWNER, subject())
    first = (await sql(telling, "SELECT id FROM tasks"))[0]["id"]
    run = telling.background.runner.run
    for _ in range(2):
        await run(first)
        await sql(telling, "UPDATE tasks SET due_at = now()")
    await make_event(telling, OWNER, subject())
    second = (await sql(telling, "SELECT id FROM tasks WHERE attempts = 0"))[0]["id"]

    await run(second)
    await run(first)

    log = await log_of(telling.owner, webhook)
    assert [entry["state"] for entry in log] == ["failed", "delivered"]
    assert (await telling.owner.get(f"/v1/webhooks/{webhook['id']}")).json()["state"] == "enabled"


async def test_a_receiver_that_is_gone_is_left_alone_at_once(telling: Service, receiver: ImageServer) -> None:
    receiver.serve("/gone", b"", status=410)
    webhook = await subscribe(telling.owner, receiver.url("/gone"))

    await make_event(telling, OWNER, subject())

    log = await settled_log(telling.owner, webhook, 1)
    found = (await telling.owner.get(f"/v1/webhooks/{webhook['id']}")).json()
    assert (log[0]["state"], log[0]["attempts"], log[0]["error"]) == ("failed", 1, "http-410")
    assert (found["state"], found["note"]) == ("disabled", "The receiver answered 410: it wants to hear no more.")


async def test_redirects_lead_nowhere_and_addresses_are_judged_with_each_delivery(
    telling: Service, receiver: ImageServer
) -> None:
    async with image_server("127.0.0.2") as canary:
        moved = await subscribe(telling.owner, receiver.redirect("/moved", canary.url("/")))
        inside = await subscribe(telling.owner, receiver.url("/hook"))
        await sql(
            telling, "UPDATE webhooks SET url = :url WHERE id = CAST(:id AS uuid)", url=canary.url(), id=inside["id"]
        )

        await make_event(telling, OWNER, subject())

        errors = [(await settled_log(telling.owner, hook, 1))[0]["error"] for hook in (moved, inside)]
        assert errors == ["http-302", "address-refused"]
        assert canary.connections == 0


async def test_one_that_was_delivered_can_be_sent_again_under_its_id(telling: Service, receiver: ImageServer) -> None:
    webhook = await subscribe(telling.owner, receiver.url("/hook"))
    await make_event(telling, OWNER, subject())
    log = await settled_log(telling.owner, webhook, 1)

    again = await telling.owner.post(f"/v1/webhooks/{webhook['id']}/deliveries/{log[0]['id']}/redeliver")
    nowhere = await telling.owner.post(f"/v1/webhooks/{webhook['id']}/deliveries/{subject()}/redeliver")

    asked = await arrived(receiver, 2)
    assert (again.status_code, again.json()["state"]) == (202, "pending")
    assert (nowhere.status_code, nowhere.json()["type"]) == (404, "/problems/delivery-not-found")
    assert asked[0].headers["webhook-id"] == asked[1].headers["webhook-id"]


async def test_two_workers_with_one_delivery_send_it_once(telling: Service, receiver: ImageServer) -> None:
    await subscribe(telling.owner, receiver.url("/hook"))
    await telling.stop_worker()
    await make_event(telling, OWNER, subject())
    task = (await sql(telling, "SELECT id FROM tasks"))[0]["id"]

    done = await asyncio.gather(*(telling.background.runner.run(task) for _ in range(3)))

    assert sorted(done) == [False, False, True]
    assert len(receiver.requests) == 1


async def test_deleting_a_webhook_while_it_is_told_leaves_nothing(telling: Service, receiver: ImageServer) -> None:
    receiver.behave("/slow", endless(b"", b"", pause_seconds=0.02))
    webhook = await subscribe(telling.owner, receiver.url("/slow"))
    await make_event(telling, OWNER, subject())
    await make_event(telling, OWNER, subject())
    await arrived(receiver, 1)

    deleted = await telling.owner.delete(f"/v1/webhooks/{webhook['id']}")
    await telling.stop_worker()
    for task in await sql(telling, "SELECT id FROM tasks"):
        await telling.background.runner.run(task["id"])

    assert deleted.status_code == 204
    assert (await telling.owner.get(f"/v1/webhooks/{webhook['id']}")).status_code == 404
    assert await sql(telling, "SELECT 1 FROM webhook_deliveries") == await sql(telling, "SELECT 1 FROM tasks") == []


async def test_a_secret_that_cannot_be_read_any_more_disables_its_webhook(
    telling: Service, receiver: ImageServer
) -> None:
    webhook = await subscribe(telling.owner, receiver.url("/hook"))
    await telling.stop_worker()
    await make_event(telling, OWNER, subject())
    task = (await sql(telling, "SELECT id FROM tasks"))[0]["id"]
    settings, database = telling.settings, telling.background.servers.database
    others = KeyRing([("k9", b"9" * 32)])

    async with Fetcher(settings) as fetcher:
        handlers = kinds(settings, DeliveryTask(settings, database, others, fetcher), BatchFinishedTask(database))
        await Runner(settings, database, handlers).run(task)

    found = (await telling.owner.get(f"/v1/webhooks/{webhook['id']}")).json()
    assert found["note"] == "The service's own secrets were changed: make the webhook anew."
    assert (await log_of(telling.owner, webhook))[0]["error"] == "secret-unreadable"
    assert receiver.requests == []


async def test_the_log_forgets_what_is_old_and_nothing_that_is_still_to_be_sent(
    telling: Service, receiver: ImageServer
) -> None:
    webhook = await subscribe(telling.owner, receiver.url("/hook"))
    await make_event(telling, OWNER, subject())
    await settled_log(telling.owner, webhook, 1)
    await telling.stop_worker()
    await make_event(telling, OWNER, subject())
    await sql(telling, "UPDATE webhook_deliveries SET created_at = now() - interval '31 days'")

    forgotten = await telling.background.webhooks.forget()

    assert forgotten == 1
    assert [entry["state"] for entry in await log_of(telling.owner, webhook)] == ["pending"]
