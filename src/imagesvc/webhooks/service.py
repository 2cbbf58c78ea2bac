"""Subscribe and unsubscribe, look at the log, have things sent again."""

import base64
import secrets
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func

from imagesvc.accounts.errors import AccountGone
from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.fetching import Fetcher, FetchFailed, FetchRefused
from imagesvc.keyring import KeyRing
from imagesvc.settings import Settings
from imagesvc.webhooks import queries
from imagesvc.webhooks.errors import (
    DeliveryNotFound,
    SecretUnreadable,
    TooManyWebhooks,
    WebhookDisabled,
    WebhookNotFound,
    WebhookUrlRefused,
)
from imagesvc.webhooks.models import Webhook
from imagesvc.webhooks.schemas import (
    DeliveryOut,
    MadeWebhook,
    NewWebhook,
    Redelivered,
    Redelivery,
    WebhookChanges,
    WebhookOut,
)

SECRET_BYTES = 32
AGAIN_AT_ONCE = 500
BY_ITS_OWNER = "Disabled by request."


class Webhooks:
    def __init__(self, settings: Settings, database: Database, keys: KeyRing, fetcher: Fetcher) -> None:
        self._settings = settings
        self._sessions = database.sessions
        self._database = database
        self._keys = keys
        self._fetcher = fetcher

    async def create(self, caller: Caller, wanted: NewWebhook, *, webhook_id: UUID) -> MadeWebhook:
        """Raises Forbidden, WebhookUrlRefused, TooManyWebhooks. With the id of one that is there: that one again."""
        _require_rights(caller)
        await self._require_reachable(wanted.url)
        secret = secrets.token_bytes(SECRET_BYTES)
        sealed_with, sealed = self._keys.seal("webhook", secret, bound_to=webhook_id.bytes)
        async with self._sessions.begin() as session:
            if not await queries.lock_account(session, caller.user_id):
                raise AccountGone
            webhook = await queries.webhook_of(session, caller, webhook_id)
            if webhook is not None:
                secret = secret_of(self._keys, webhook)
            elif await queries.count_webhooks(session, caller.user_id) >= self._settings.webhook_max:
                raise TooManyWebhooks(f"An account may have {self._settings.webhook_max}.")
            else:
                webhook = Webhook(
                    id=webhook_id,
                    owner_id=caller.user_id,
                    url=wanted.url,
                    events=list(wanted.events),
                    sealed_with=sealed_with,
                    sealed_secret=sealed,
                )
                session.add(webhook)
                await session.flush()
                await session.refresh(webhook)
        return MadeWebhook.of(webhook, secret=f"whsec_{base64.b64encode(secret).decode()}")

    async def _require_reachable(self, url: str) -> None:
        """Judged again with each delivery; here so that a mistake is told at once."""
        try:
            await self._fetcher.check(url)
        except FetchRefused as error:
            raise WebhookUrlRefused(str(error), errors=[{"pointer": "/url", "detail": str(error)}]) from error
        except FetchFailed:
            return  # the name cannot be looked up just now

    async def get(self, caller: Caller, webhook_id: UUID) -> WebhookOut:
        """Raises Forbidden, WebhookNotFound."""
        caller.require("read")
        async with self._sessions() as session:
            return WebhookOut.of(_found(await queries.webhook_of(session, caller, webhook_id)))

    async def page(self, caller: Caller, *, before: UUID | None, limit: int) -> Sequence[WebhookOut]:
        """The newest first; an admin's are all."""
        caller.require("read")
        async with self._sessions() as session:
            found = await queries.page_of_webhooks(session, caller, before=before, limit=limit)
        return [WebhookOut.of(webhook) for webhook in found]

    async def change(self, caller: Caller, webhook_id: UUID, changes: WebhookChanges) -> WebhookOut:
        """Raises Forbidden, WebhookNotFound."""
        _require_rights(caller)
        async with self._sessions.begin() as session:
            webhook = _found(await queries.lock_webhook(session, caller, webhook_id))
            if changes.events is not None:
                webhook.events = list(changes.events)
            if changes.enabled:
                webhook.disabled_at, webhook.note = None, None
            elif changes.enabled is False and webhook.disabled_at is None:
                webhook.disabled_at, webhook.note = func.now(), BY_ITS_OWNER
            await session.flush()
            await session.refresh(webhook)
        return WebhookOut.of(webhook)

    async def delete(self, caller: Caller, webhook_id: UUID) -> None:
        """With its log. Raises Forbidden, WebhookNotFound."""
        _require_rights(caller)
        async with self._sessions.begin() as session:
            _found(await queries.lock_webhook(session, caller, webhook_id))
            await queries.delete_webhook(session, webhook_id)

    async def deliveries(
        self, caller: Caller, webhook_id: UUID, *, state: str | None, before: UUID | None, limit: int
    ) -> Sequence[DeliveryOut]:
        """The newest first. Raises Forbidden, WebhookNotFound."""
        caller.require("read")
        async with self._sessions() as session:
            _found(await queries.webhook_of(session, caller, webhook_id))
            found = await queries.page_of_deliveries(session, webhook_id, state=state, before=before, limit=limit)
        return [DeliveryOut.of(delivery) for delivery in found]

    async def redeliver(self, caller: Caller, webhook_id: UUID, delivery_id: UUID) -> DeliveryOut:
        """One, whether it was delivered or has failed; what is on its way goes on.

        Raises Forbidden, WebhookNotFound, DeliveryNotFound, WebhookDisabled.
        """
        _require_rights(caller)
        async with self._sessions.begin() as session:
            _enabled(await queries.webhook_of(session, caller, webhook_id))
            delivery = await queries.lock_delivery(session, delivery_id)
            if delivery is None or delivery.webhook_id != webhook_id:
                raise DeliveryNotFound
            if delivery.state != "pending":
                await queries.send_again(session, [delivery])
        return DeliveryOut.of(delivery)

    async def redeliver_failed(self, caller: Caller, webhook_id: UUID, wanted: Redelivery) -> Redelivered:
        """The failed ones, the oldest first. Raises Forbidden, WebhookNotFound, WebhookDisabled."""
        _require_rights(caller)
        async with self._sessions.begin() as session:
            _enabled(await queries.webhook_of(session, caller, webhook_id))
            found = await queries.lock_failed(session, webhook_id, since=wanted.since, most=AGAIN_AT_ONCE)
            await queries.send_again(session, found)
        return Redelivered(count=len(found), more=len(found) == AGAIN_AT_ONCE)

    async def forget(self) -> int:
        """One round of removing old rows from the log. Returns how many went."""
        row = await self._database.fetch_row(queries.FORGET, self._settings.webhook_log_seconds, AGAIN_AT_ONCE)
        return int(row["count"])


def secret_of(keys: KeyRing, webhook: Webhook) -> bytes:
    """Raises SecretUnreadable."""
    secret = keys.unseal("webhook", webhook.sealed_with, webhook.sealed_secret, bound_to=webhook.id.bytes)
    if secret is None:
        raise SecretUnreadable
    return secret


def _require_rights(caller: Caller) -> None:
    """Whoever subscribes changes something, and has things read out."""
    caller.require("upload")
    caller.require("read")


def _found(webhook: Webhook | None) -> Webhook:
    if webhook is None:
        raise WebhookNotFound
    return webhook


def _enabled(webhook: Webhook | None) -> None:
    if _found(webhook).disabled_at is not None:
        raise WebhookDisabled
