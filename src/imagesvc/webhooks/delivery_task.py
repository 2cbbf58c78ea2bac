"""One attempt to tell a webhook an event: the task's handler, and what becomes of it."""

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
"""By the specification: the receiver wants to hear no more."""
NOTES: Mapping[str, str] = {
    "gone": "The receiver answered 410: it wants to hear no more.",
    "used-up": "Nothing got through for a day; the last error was {error}.",
    "secret": "The service's own secrets were changed: make the webhook anew.",
}


class DeliveryTask:
    def __init__(self, settings: Settings, database: Database, keys: KeyRing, fetcher: Fetcher) -> None:
        self._settings = settings
        self._sessions = database.sessions
        self._keys = keys
        self._fetcher = fetcher

    async def deliver(self, lease: Lease) -> None:
        """Raises TryLater as long as it did not get through and there are attempts left."""
        async with self._sessions() as session:
            found = await queries.delivery_to_send(session, _delivery_id(lease))
            waits = found is not None and await queries.is_another_before(session, found[0])
        if found is None:
            await self._end(lease, None)
            return
        delivery, webhook, has_account = found
        if webhook.disabled_at is not None or not has_account:
            await self._end(lease, "webhook-disabled" if has_account else "account-disabled", was_sent=False)
            return
        if waits:
            raise RetryTask("another-before", counts=False)
        try:
            headers, content = self._signed(delivery, webhook)
        except SecretUnreadable:
            await self._end(lease, "secret-unreadable", note=NOTES["secret"], was_sent=False)
            return
        status: int | None = None
        try:
            status = await self._fetcher.post(webhook.url, content=content, headers=headers)
            error = None if 200 <= status < 300 else f"http-{status}"
        except (FetchRefused, FetchFailed) as failure:
            error = failure.reason
        await self._note(lease, webhook, delivery, status, error)

    def _signed(self, delivery: WebhookDelivery, webhook: Webhook) -> tuple[dict[str, str], bytes]:
        """Signed anew with each attempt: receivers refuse what was signed long ago."""
        message_id, now = f"msg_{delivery.id.hex}", dt.datetime.now(dt.UTC)
        text = json.dumps(delivery.payload, separators=(",", ":"))
        signature = Signer(secret_of(self._keys, webhook)).sign(message_id, now, text)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }
        return headers, text.encode()

    async def _note(
        self, lease: Lease, webhook: Webhook, delivery: WebhookDelivery, status: int | None, error: str | None
    ) -> None:
        if error is None or status == GONE or lease.attempt >= self._settings.webhook_max_attempts:
            await self._end(lease, error, status=status, note=self._note_of(status, error), began=delivery.created_at)
            return
        log.info("webhook not told", webhook_id=str(webhook.id), url=without_query(webhook.url), reason=error)
        async with self._sessions.begin() as session:
            row = await queries.lock_delivery(session, delivery.id)
            if row is not None:
                _attempted(row, status)
                row.error = error
                await session.flush()
            await leases.renew(session, lease, seconds=self._settings.task_lease_seconds)
        raise RetryTask(error)

    def _note_of(self, status: int | None, error: str | None) -> str | None:
        if error is None:
            return None
        return NOTES["gone"] if status == GONE else NOTES["used-up"].format(error=error)

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
        """The delivery has ended, one way or the other, and so has its task: a receiver's trouble is no dead letter.

        With a ``note`` the webhook is disabled, unless anything got through since ``began``.
        """
        async with self._sessions.begin() as session:
            if note is not None:
                await self._disable(session, lease, note, None if status == GONE else began)
            row = await queries.lock_delivery(session, _delivery_id(lease))
            if row is not None and row.state == "pending":
                if was_sent:
                    _attempted(row, status)
                row.error = error
                row.state = "delivered" if error is None else "failed"
                await session.flush()
            await leases.finish(session, lease)

    async def _disable(self, session: AsyncSession, lease: Lease, note: str, began: dt.datetime | None) -> None:
        assert lease.turn_of is not None  # noqa: S101 - deliveries take turns by webhook
        webhook = await session.get(Webhook, lease.turn_of, with_for_update=True)
        if webhook is None or webhook.disabled_at is not None:
            return
        if began is not None and await queries.got_through_since(session, webhook.id, began):
            return
        webhook.disabled_at, webhook.note = func.now(), note
        await session.flush()
        log.warning("webhook disabled", webhook_id=str(webhook.id), url=without_query(webhook.url), note=note)

    async def give_up(self, session: AsyncSession, lease: Lease, error: RetryTask) -> None:
        """Only workers that died bring it here: that is ours, so a dead letter stays."""
        row = await queries.lock_delivery(session, _delivery_id(lease))
        if row is not None and row.state == "pending":
            row.state, row.error = "failed", error.reason
            await session.flush()


def _delivery_id(lease: Lease) -> UUID:
    return UUID(lease.payload["delivery_id"])


def _attempted(row: WebhookDelivery, status: int | None) -> None:
    row.attempts += 1
    row.last_attempt_at, row.response_status = func.now(), status
