"""Creates, changes and deletes webhooks; lists deliveries and sends them again."""

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
from imagesvc.webhooks.queries import DeletedDeliveries
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
BATCH_SIZE = 500
DISABLED_BY_REQUEST = "Disabled by request."


class Webhooks:
    """The service behind the webhook routes."""

    def __init__(self, settings: Settings, database: Database, keys: KeyRing, fetcher: Fetcher) -> None:
        self._settings = settings
        self._sessions = database.sessions
        self._database = database
        self._keys = keys
        self._fetcher = fetcher

    async def create(self, caller: Caller, wanted: NewWebhook, *, webhook_id: UUID) -> MadeWebhook:
        """Create a webhook, unless one with this id exists; then return that one.

        Raises Forbidden, WebhookUrlRefused, TooManyWebhooks, SecretUnreadable.
        """
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
                raise TooManyWebhooks(f"An account may have at most {self._settings.webhook_max} webhooks.")
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
        return MadeWebhook.with_secret(webhook, f"whsec_{base64.b64encode(secret).decode()}")

    async def _require_reachable(self, url: str) -> None:
        """Reports a mistake early. Each delivery checks the address again."""
        try:
            await self._fetcher.check(url)
        except FetchRefused as error:
            raise WebhookUrlRefused(str(error), errors=[{"pointer": "/url", "detail": str(error)}]) from error
        except FetchFailed:
            return  # the host name could not be resolved now

    async def get(self, caller: Caller, webhook_id: UUID) -> WebhookOut:
        """Raises Forbidden, WebhookNotFound."""
        caller.require("read")
        async with self._sessions() as session:
            return WebhookOut.of(_existing(await queries.webhook_of(session, caller, webhook_id)))

    async def page(self, caller: Caller, *, before: UUID | None, limit: int) -> Sequence[WebhookOut]:
        """The newest first. Raises Forbidden."""
        caller.require("read")
        async with self._sessions() as session:
            webhooks = await queries.page_of_webhooks(session, caller, before=before, limit=limit)
        return [WebhookOut.of(webhook) for webhook in webhooks]

    async def change(self, caller: Caller, webhook_id: UUID, changes: WebhookChanges) -> WebhookOut:
        """Raises Forbidden, WebhookNotFound."""
        _require_rights(caller)
        async with self._sessions.begin() as session:
            webhook = _existing(await queries.lock_webhook(session, caller, webhook_id))
            if changes.events is not None:
                webhook.events = list(changes.events)
            if changes.enabled:
                webhook.disabled_at, webhook.note = None, None
            elif changes.enabled is False and webhook.disabled_at is None:
                webhook.disabled_at, webhook.note = func.now(), DISABLED_BY_REQUEST
            await session.flush()
            await session.refresh(webhook)
        return WebhookOut.of(webhook)

    async def delete(self, caller: Caller, webhook_id: UUID) -> None:
        """Delete a webhook with its deliveries. Raises Forbidden, WebhookNotFound."""
        _require_rights(caller)
        async with self._sessions.begin() as session:
            _existing(await queries.lock_webhook(session, caller, webhook_id))
            await queries.delete_webhook(session, webhook_id)

    async def deliveries(
        self, caller: Caller, webhook_id: UUID, *, state: str | None, before: UUID | None, limit: int
    ) -> Sequence[DeliveryOut]:
        """The newest first. Raises Forbidden, WebhookNotFound."""
        caller.require("read")
        async with self._sessions() as session:
            _existing(await queries.webhook_of(session, caller, webhook_id))
            page = await queries.page_of_deliveries(session, webhook_id, state=state, before=before, limit=limit)
        return [DeliveryOut.of(delivery) for delivery in page]

    async def redeliver(self, caller: Caller, webhook_id: UUID, delivery_id: UUID) -> DeliveryOut:
        """Send one delivery again, whether it was delivered or failed. A pending delivery stays as it is.

        Raises Forbidden, WebhookNotFound, DeliveryNotFound, WebhookDisabled.
        """
        _require_rights(caller)
        async with self._sessions.begin() as session:
            _require_enabled(await queries.webhook_of(session, caller, webhook_id))
            delivery = await queries.lock_delivery(session, delivery_id)
            if delivery is None or delivery.webhook_id != webhook_id:
                raise DeliveryNotFound
            if delivery.state != "pending":
                await queries.redeliver(session, [delivery])
        return DeliveryOut.of(delivery)

    async def redeliver_failed(self, caller: Caller, webhook_id: UUID, wanted: Redelivery) -> Redelivered:
        """Send up to BATCH_SIZE failed deliveries again, the oldest first.

        Raises Forbidden, WebhookNotFound, WebhookDisabled.
        """
        _require_rights(caller)
        async with self._sessions.begin() as session:
            _require_enabled(await queries.webhook_of(session, caller, webhook_id))
            failed = await queries.lock_failed(session, webhook_id, since=wanted.since, limit=BATCH_SIZE)
            await queries.redeliver(session, failed)
        return Redelivered(count=len(failed), more=len(failed) == BATCH_SIZE)

    async def forget(self) -> int:
        """Delete up to BATCH_SIZE old deliveries that have ended. Returns how many there were."""
        arguments = (self._settings.webhook_log_seconds, BATCH_SIZE)
        return (await self._database.fetch_one(queries.DELETE_OLD_DELIVERIES, DeletedDeliveries, *arguments)).count


def secret_of(keys: KeyRing, webhook: Webhook) -> bytes:
    """The decrypted secret. Raises SecretUnreadable."""
    secret = keys.unseal("webhook", webhook.sealed_with, webhook.sealed_secret, bound_to=webhook.id.bytes)
    if secret is None:
        raise SecretUnreadable
    return secret


def _require_rights(caller: Caller) -> None:
    """A webhook changes the account, and receives what a reader may see."""
    caller.require("upload")
    caller.require("read")


def _existing(webhook: Webhook | None) -> Webhook:
    if webhook is None:
        raise WebhookNotFound
    return webhook


def _require_enabled(webhook: Webhook | None) -> None:
    if _existing(webhook).disabled_at is not None:
        raise WebhookDisabled
