"""Subscribing for tests, and waiting for what comes."""

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
    """The log once it has so many deliveries and none is pending."""
    found: list[dict[str, Any]] = []

    async def is_settled() -> bool:
        found[:] = await log_of(client, webhook)
        return len(found) == count and all(delivery["state"] != "pending" for delivery in found)

    await until(is_settled)
    return found


def verified(asked: ReceivedRequest, secret: str) -> dict[str, Any]:
    """As a receiver does it, by the public library. Raises its error when the signature is not right."""
    found: dict[str, Any] = Webhook(secret).verify(asked.body, dict(asked.headers))
    assert found == json.loads(asked.body)
    return found


async def arrived(receiver: ImageServer, count: int) -> list[ReceivedRequest]:
    """The first so many requests, once they are there."""

    async def are_there() -> bool:
        return len(receiver.requests) >= count

    await until(are_there)
    return receiver.requests[:count]


async def make_event(service: Service, owner_id: str, subject: str, *, data: str = "{}") -> None:
    """As the trigger of an image does."""
    statement = """
        SELECT webhook_event(CAST(:owner AS uuid), 'image.ready', CAST(:subject AS uuid), CAST(:data AS jsonb))
    """
    await sql(service, statement, owner=owner_id, subject=subject, data=data)
