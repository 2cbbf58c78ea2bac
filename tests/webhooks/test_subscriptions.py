"""Subscriptions: their secrets, limits and changes, the URLs that are refused, and access."""

import base64
import json
from collections.abc import Callable
from typing import Any

from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from tests.support.image_server import ImageServer
from tests.support.people import People
from tests.support.service import Service, running_service
from tests.support.sql import sql
from tests.webhooks.webhook_requests import make_event, subscribe

JSON = {"content-type": "application/json"}


async def test_the_secret_is_shown_once_and_stored_encrypted(hook_service: Service, receiver: ImageServer) -> None:
    owner, body = hook_service.owner, {"url": receiver.url("/hook?key=1"), "events": ["job.finished", "image.ready"]}
    answers = [await owner.post("/v1/webhooks", json=body, headers={"Idempotency-Key": "a"}) for _ in range(2)]

    made = answers[0].json()
    secret = base64.b64decode(made["secret"].removeprefix("whsec_"))
    shown = [
        (await owner.get(f"/v1/webhooks/{made['id']}")).json(),
        (await owner.get("/v1/webhooks")).json()["items"][0],
    ]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1].json() == made
    assert len(secret) == 32
    assert shown == [{name: value for name, value in made.items() if name != "secret"}] * 2
    assert (made["state"], made["events"], made["note"]) == ("enabled", ["image.ready", "job.finished"], None)
    row = (await sql(hook_service, "SELECT count(*) OVER () AS rows, sealed_secret FROM webhooks"))[0]
    assert row["rows"] == 1
    assert secret not in row["sealed_secret"]


MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    ({"url": "http://127.0.0.2/"}, "webhook-url-refused", "/url"),
    ({"url": "http://169.254.169.254/"}, "webhook-url-refused", "/url"),
    ({"url": "http://2130706433/"}, "webhook-url-refused", "/url"),
    ({"url": "https://user:pw@example.com/"}, "webhook-url-refused", "/url"),
    ({"url": "ftp://example.com/"}, "webhook-url-refused", "/url"),
    ({"url": "http://a\x00b/"}, "webhook-url-refused", "/url"),
    ({"url": "http://a\ud800b/"}, "invalid-request", "/url"),
    ({"url": "http://x/" + "a" * 4096}, "invalid-request", "/url"),
    ({"url": ""}, "invalid-request", "/url"),
    ({"events": []}, "invalid-request", "/events"),
    ({"events": ["image.gone"]}, "invalid-request", "/events/0"),
    ({"secret": "whsec_x"}, "invalid-request", "/secret"),
]


async def test_an_invalid_subscription_is_422_with_a_pointer(idle_service: Service) -> None:
    valid = {"url": "https://example.com/", "events": ["image.ready"]}

    answers = [
        await idle_service.owner.post("/v1/webhooks", content=json.dumps({**valid, **body}), headers=JSON)
        for body, *_ in MISTAKES
    ]

    problems = [(answer.json()["type"], answer.json()["errors"][0]["pointer"]) for answer in answers]
    assert [answer.status_code for answer in answers] == [422] * len(MISTAKES)
    assert problems == [(f"/problems/{slug}", pointer) for _, slug, pointer in MISTAKES]
    assert await sql(idle_service, "SELECT 1 FROM webhooks") == []


async def test_webhooks_are_limited_per_account_paged_and_changed(
    settings_with: Callable[..., Settings], sandbox: Sandbox, receiver: ImageServer
) -> None:
    settings = settings_with(fetch_allow="127.0.0.1", webhook_max=3)
    async with running_service(settings, sandbox, with_worker=False) as service:
        hooks = [await subscribe(service.owner, receiver.url("/hook")) for _ in range(3)]
        refused = await service.owner.post("/v1/webhooks", json={"url": receiver.url(), "events": ["image.ready"]})
        first = (await service.owner.get("/v1/webhooks", params={"limit": 2})).json()
        second = (await service.owner.get("/v1/webhooks", params={"cursor": first["next_cursor"]})).json()
        path = f"/v1/webhooks/{hooks[0]['id']}"
        fewer = (await service.owner.patch(path, json={"events": ["job.finished"]})).json()
        off = (await service.owner.patch(path, json={"enabled": False})).json()

        for _ in range(3):
            await make_event(service, "00000000-0000-7000-8000-000000000001", hooks[0]["id"])
        pages = f"/v1/webhooks/{hooks[1]['id']}/deliveries"
        log = (await service.owner.get(pages, params={"limit": 2, "state": "pending"})).json()
        rest = (await service.owner.get(pages, params={"state": "pending", "cursor": log["next_cursor"]})).json()
        wrong = await service.owner.get(pages, params={"state": "failed", "cursor": log["next_cursor"]})

    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/too-many-webhooks")
    shown = [hook["id"] for hook in (*first["items"], *second["items"])]
    assert (shown, second["next_cursor"]) == ([hook["id"] for hook in reversed(hooks)], None)
    assert (fewer["events"], fewer["state"]) == (["job.finished"], "enabled")
    assert (off["state"], off["note"]) == ("disabled", "Disabled by request.")
    assert [len(page["items"]) for page in (log, rest)] == [2, 1]
    assert wrong.status_code == 400


async def test_only_the_owner_and_admins_access_a_webhook(people: People, receiver: ImageServer) -> None:
    ann, bob = await people.new("ann"), await people.new("bob")
    hook = await subscribe(ann.client, receiver.url("/hook"))
    path, new = f"/v1/webhooks/{hook['id']}", {"url": receiver.url("/hook"), "events": ["image.ready"]}
    reader = await people.holding((await people.new_key(ann, "read"))["key"])
    uploader = await people.holding((await people.new_key(ann, "upload"))["key"])

    of_bob = [
        await bob.client.get(path),
        await bob.client.patch(path, json={"enabled": False}),
        await bob.client.get(f"{path}/deliveries"),
        await bob.client.post(f"{path}/redeliver"),
        await bob.client.delete(path),
    ]
    others = [
        *[await reader.get(path), await reader.post("/v1/webhooks", json=new), await reader.delete(path)],
        *[await uploader.get(path), await uploader.post("/v1/webhooks", json=new)],
        *[await people.service.anyone.get(path), await people.service.owner.get(path)],
    ]

    assert [answer.status_code for answer in of_bob] == [404] * 5
    assert (await bob.client.get("/v1/webhooks")).json()["items"] == []
    assert [answer.status_code for answer in others] == [200, 403, 403, 403, 403, 401, 200]
