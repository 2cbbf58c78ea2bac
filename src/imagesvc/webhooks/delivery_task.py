"""The task that sends one event to one webhook, and records the outcome of the attempt.

A failed delivery is not a dead letter: the receiver caused it, and an operator cannot repair it. The delivery becomes
`failed`, and the webhook is disabled with a note.
"""

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping
from uuid import UUID

import structlog
from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession
from standardwebhooks import Webhook as Signer

from imagesvc.db import Database
from imagesvc.fetching import Fetcher, FetchFailed, FetchRefused, without_query
from imagesvc.keyring import KeyRing
from imagesvc.settings import Settings
from imagesvc.tasks import leases
from imagesvc.tasks.leases import Lease
from imagesvc.tasks.runner import RetryTask
from imagesvc.webhooks import queries
from imagesvc.webhooks.errors import SecretUnreadable
from imagesvc.webhooks.models import Webhook, WebhookDelivery
from imagesvc.webhooks.service import secret_of

log = structlog.get_logger(__name__)

GONE = 410
"""By Standard Webhooks, the receiver wants no more events."""
NOTES: Mapping[str, str] = {
    "gone": "The receiver answered 410: it wants no more events.",
    "used-up": "No delivery succeeded for a day. The last error was {error}.",
    "secret": "The service's secret keys were changed. Create the webhook again.",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SendResult:
    """``status`` is None when the receiver did not answer; ``error`` is None after a 2xx, otherwise a slug."""

    status: int | None = None
    error: str | None = None


class DeliveryTask:
    """Handles the task ``deliver_webhook``."""

    def __init__(self, settings: Settings, database: Database, keys: KeyRing, fetcher: Fetcher) -> None:
        self._settings = settings
        self._sessions = database.sessions
        self._keys = keys
        self._fetcher = fetcher

    async def deliver(self, lease: Lease) -> None:
        """Handle a task. Raises RetryTask while the delivery fails and has attempts left."""
        async with self._sessions() as session:
            pending = await queries.pending_delivery(session, _delivery_id(lease))
            must_wait = pending is not None and await queries.has_earlier_pending(session, pending.delivery)
        if pending is None:
            await self._end(lease, None)
            return
        delivery, webhook = pending.delivery, pending.webhook
        if webhook.disabled_at is not None or not pending.is_account_enabled:
            error = "webhook-disabled" if pending.is_account_enabled else "account-disabled"
            await self._end(lease, error, was_sent=False)
            return
        if must_wait:
            raise RetryTask("earlier-event-pending", counts=False)
        try:
            headers, content = self._signed(delivery, webhook)
        except SecretUnreadable:
            await self._end(lease, "secret-unreadable", note=NOTES["secret"], was_sent=False)
            return
        result = await self._send(webhook.url, content, headers)
        await self._record(lease, webhook, delivery, result)

    async def _send(self, url: str, content: bytes, headers: dict[str, str]) -> SendResult:
        try:
            status = await self._fetcher.post(url, content=content, headers=headers)
        except (FetchRefused, FetchFailed) as failure:
            return SendResult(error=failure.reason)
        return SendResult(status=status, error=None if 200 <= status < 300 else f"http-{status}")

    def _signed(self, delivery: WebhookDelivery, webhook: Webhook) -> tuple[dict[str, str], bytes]:
        """The headers and the content, signed for each attempt: receivers refuse old signatures."""
        message_id, now = f"msg_{delivery.id.hex}", dt.datetime.now(dt.UTC)
        text = json.dumps(_with_prefix(delivery.payload, self._settings.path_prefix), separators=(",", ":"))
        signature = Signer(secret_of(self._keys, webhook)).sign(message_id, now, text)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }
        return headers, text.encode()

    async def _record(self, lease: Lease, webhook: Webhook, delivery: WebhookDelivery, result: SendResult) -> None:
        error, is_last = result.error, lease.attempt >= self._settings.webhook_max_attempts
        if error is None or result.status == GONE or is_last:
            note = _note(result)
            await self._end(lease, error, status=result.status, note=note, began=delivery.created_at)
            return
        log.info("webhook delivery failed", webhook_id=str(webhook.id), url=without_query(webhook.url), reason=error)
        async with self._sessions.begin() as session:
            row = await queries.lock_delivery(session, delivery.id)
            if row is not None:
                _count_attempt(row, result.status)
                row.error = error
                await session.flush()
            await leases.renew(session, lease, seconds=self._settings.task_lease_seconds)
        raise RetryTask(error)

    async def _end(
        self,
        lease: Lease,
        error: str | None,
        *,
        status: int | None = None,
        note: str | None = None,
        began: dt.datetime | None = None,
        was_sent: bool = True,
    ) -> None:
        """End the delivery and its task: `delivered` without an ``error``, else `failed`.

        With a ``note``, also disable the webhook, unless a delivery succeeded since ``began``. After a 410 no earlier
        success counts.
        """
        async with self._sessions.begin() as session:
            if note is not None:
                await self._disable(session, lease, note, None if status == GONE else began)
            row = await queries.lock_delivery(session, _delivery_id(lease))
            if row is not None and row.state == "pending":
                if was_sent:
                    _count_attempt(row, status)
                row.error = error
                row.state = "delivered" if error is None else "failed"
                await session.flush()
            await leases.finish(session, lease)

    async def _disable(self, session: AsyncSession, lease: Lease, note: str, began: dt.datetime | None) -> None:
        assert lease.turn_of is not None  # noqa: S101 - the group of a delivery is its webhook
        webhook = await session.get(Webhook, lease.turn_of, with_for_update=True)
        if webhook is None or webhook.disabled_at is not None:
            return
        if began is not None and await queries.has_delivered_since(session, webhook.id, began):
            return
        webhook.disabled_at, webhook.note = func.now(), note
        await session.flush()
        log.warning("webhook disabled", webhook_id=str(webhook.id), url=without_query(webhook.url), note=note)

    async def give_up(self, session: AsyncSession, lease: Lease, error: RetryTask) -> None:
        """Fail the delivery of a task whose workers died. That is our fault, so the dead letter stays."""
        row = await queries.lock_delivery(session, _delivery_id(lease))
        if row is not None and row.state == "pending":
            row.state, row.error = "failed", error.reason
            await session.flush()


def _with_prefix(payload: Mapping[str, object], prefix: str) -> Mapping[str, object]:
    """The payload as stored, with ``data.url`` below the path of the public URL."""
    data = payload.get("data")
    if not prefix or not isinstance(data, dict) or "url" not in data:
        return payload
    return {**payload, "data": {**data, "url": f"{prefix}{data['url']}"}}


def _note(result: SendResult) -> str | None:
    if result.error is None:
        return None
    return NOTES["gone"] if result.status == GONE else NOTES["used-up"].format(error=result.error)


def _delivery_id(lease: Lease) -> UUID:
    return lease.payload_id("delivery_id")


def _count_attempt(row: WebhookDelivery, status: int | None) -> None:
    row.attempts += 1
    row.last_attempt_at, row.response_status = func.now(), status
