"""Requests about webhooks, for tests; and waiting for what a receiver gets."""

import json
from typing import Any

import httpx
from standardwebhooks import Webhook

from tests.support.image_server import ImageServer, ReceivedRequest
from tests.support.processes import until
from tests.support.service import Service
from tests.support.sql import sql

ALL = ["image.ready", "image.rejected", "image.failed", "batch.finished", "job.finished"]


async def subscribe(client: httpx.AsyncClient, url: str, *events: str) -> dict[str, Any]:
    answer = await client.post("/v1/webhooks", json={"url": url, "events": events or ALL})
    assert answer.status_code == 201, answer.text
    webhook: dict[str, Any] = answer.json()
    return webhook


async def log_of(client: httpx.AsyncClient, webhook: dict[str, Any], **query: str) -> list[dict[str, Any]]:
    """The deliveries, the oldest first."""
    answer = await client.get(f"/v1/webhooks/{webhook['id']}/deliveries", params=query)
    assert answer.status_code == 200, answer.text
    return list(reversed(answer.json()["items"]))


async def settled_log(client: httpx.AsyncClient, webhook: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """The log, once it has ``count`` deliveries and none is pending."""
    found: list[dict[str, Any]] = []

    async def is_settled() -> bool:
        found[:] = await log_of(client, webhook)
        return len(found) == count and all(delivery["state"] != "pending" for delivery in found)

    await until(is_settled)
    return found


def verified(request: ReceivedRequest, secret: str) -> dict[str, Any]:
    """The event of a request, verified with the public library. Raises WebhookVerificationError."""
    event: dict[str, Any] = Webhook(secret).verify(request.body, dict(request.headers))
    assert event == json.loads(request.body)
    return event


async def received(receiver: ImageServer, count: int) -> list[ReceivedRequest]:
    """The first ``count`` requests, once the receiver has them."""

    async def are_received() -> bool:
        return len(receiver.requests) >= count

    await until(are_received)
    return receiver.requests[:count]


async def make_event(service: Service, owner_id: str, subject: str, *, data: str = "{}") -> None:
    """Insert an event, as the trigger of an image does."""
    statement = """
        SELECT webhook_event(CAST(:owner AS uuid), 'image.ready', CAST(:subject AS uuid), CAST(:data AS jsonb))
    """
    await sql(service, statement, owner=owner_id, subject=subject, data=data)
