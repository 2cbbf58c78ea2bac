"""Statements about webhooks. Those on behalf of a caller match the caller's own webhooks, and all for an admin.

asyncpg (SQL text, frozen row classes) for ending a batch, which every upload request does, and for deleting old
deliveries; the ORM, and SQL text in its sessions, for everything else.
"""

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import Select, delete, exists, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.accounts.models import User
from imagesvc.accounts.service import Caller
from imagesvc.db import new_id
from imagesvc.tasks.models import Task
from imagesvc.webhooks.models import Webhook, WebhookDelivery

DELIVER = "deliver_webhook"


def _of(caller: Caller) -> Select[Webhook]:
    query = select(Webhook)
    return query if caller.is_admin else query.where(Webhook.owner_id == caller.user_id)


async def webhook_of(session: AsyncSession, caller: Caller, webhook_id: UUID) -> Webhook | None:
    return (await session.execute(_of(caller).where(Webhook.id == webhook_id))).scalar_one_or_none()


async def lock_webhook(session: AsyncSession, caller: Caller, webhook_id: UUID) -> Webhook | None:
    """FOR UPDATE: no event for it is inserted until the transaction ends."""
    query = _of(caller).where(Webhook.id == webhook_id).with_for_update()
    return (await session.execute(query)).scalar_one_or_none()


async def lock_account(session: AsyncSession, user_id: UUID) -> bool:
    """Serializes additions of webhooks to an account. Returns False when the account is deleted or disabled."""
    query = select(User.id).where(User.id == user_id, User.disabled_at.is_(None)).with_for_update(key_share=True)
    return (await session.execute(query)).one_or_none() is not None


async def count_webhooks(session: AsyncSession, owner_id: UUID) -> int:
    return int((await session.execute(select(func.count()).where(Webhook.owner_id == owner_id))).scalar_one())


async def page_of_webhooks(
    session: AsyncSession, caller: Caller, *, before: UUID | None, limit: int
) -> Sequence[Webhook]:
    """The newest first."""
    query = _of(caller).order_by(Webhook.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Webhook.id < before)
    return (await session.execute(query)).scalars().all()


async def page_of_deliveries(
    session: AsyncSession, webhook_id: UUID, *, state: str | None, before: UUID | None, limit: int
) -> Sequence[WebhookDelivery]:
    """The newest first."""
    query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
    if state is not None:
        query = query.where(WebhookDelivery.state == state)
    if before is not None:
        query = query.where(WebhookDelivery.id < before)
    return (await session.execute(query.order_by(WebhookDelivery.id.desc()).limit(limit))).scalars().all()


async def lock_delivery(session: AsyncSession, delivery_id: UUID) -> WebhookDelivery | None:
    query = select(WebhookDelivery).where(WebhookDelivery.id == delivery_id).with_for_update()
    return (await session.execute(query)).scalar_one_or_none()


async def lock_failed(
    session: AsyncSession, webhook_id: UUID, *, since: dt.datetime | None, limit: int
) -> Sequence[WebhookDelivery]:
    """The oldest first."""
    query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.state == "failed")
    if since is not None:
        query = query.where(WebhookDelivery.created_at >= since)
    return (await session.execute(query.order_by(WebhookDelivery.id).limit(limit).with_for_update())).scalars().all()


async def redeliver(session: AsyncSession, deliveries: Sequence[WebhookDelivery]) -> None:
    """Make locked, ended deliveries pending again, each with a task."""
    for delivery in deliveries:
        delivery.state, delivery.attempts, delivery.error = "pending", 0, None
    await session.flush()
    if deliveries:
        tasks = [
            {"id": new_id(), "kind": DELIVER, "payload": {"delivery_id": str(d.id)}, "turn_of": d.webhook_id}
            for d in deliveries
        ]
        await session.execute(insert(Task), tasks)


async def delete_webhook(session: AsyncSession, webhook_id: UUID) -> None:
    """Delete a webhook with its deliveries and their tasks. A running task then finds no delivery, and ends."""
    await session.execute(delete(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id))
    await session.execute(delete(Task).where(Task.turn_of == webhook_id, Task.state != "running"))
    await session.execute(delete(Webhook).where(Webhook.id == webhook_id))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PendingDelivery:
    delivery: WebhookDelivery
    webhook: Webhook
    is_account_enabled: bool


async def pending_delivery(session: AsyncSession, delivery_id: UUID) -> PendingDelivery | None:
    """Returns None when the delivery has ended or is deleted."""
    query = (
        select(WebhookDelivery, Webhook, User.disabled_at.is_(None))
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .join(User, User.id == Webhook.owner_id)
        .where(WebhookDelivery.id == delivery_id, WebhookDelivery.state == "pending")
    )
    row = (await session.execute(query)).one_or_none()
    if row is None:
        return None
    delivery, webhook, is_account_enabled = row
    return PendingDelivery(delivery=delivery, webhook=webhook, is_account_enabled=is_account_enabled)


async def has_earlier_pending(session: AsyncSession, delivery: WebhookDelivery) -> bool:
    """Whether an older event of the same subject is still pending for this webhook."""
    older = exists().where(
        WebhookDelivery.webhook_id == delivery.webhook_id,
        WebhookDelivery.subject_id == delivery.subject_id,
        WebhookDelivery.state == "pending",
        WebhookDelivery.id < delivery.id,
    )
    return bool((await session.execute(select(older))).scalar_one())


async def has_delivered_since(session: AsyncSession, webhook_id: UUID, time: dt.datetime) -> bool:
    """Whether the receiver accepted any delivery at or after ``time``."""
    success = exists().where(
        WebhookDelivery.webhook_id == webhook_id,
        WebhookDelivery.state == "delivered",
        WebhookDelivery.last_attempt_at >= time,
    )
    return bool((await session.execute(select(success))).scalar_one())


HAS_LISTENER = """
    SELECT EXISTS (SELECT FROM webhooks WHERE owner_id = $1 AND disabled_at IS NULL
                   AND 'batch.finished' = ANY(events)) AS is_listening
"""
END_BATCH = """
    UPDATE tasks SET payload = payload || '{"request_ended": true}', due_at = least(due_at, now())
    WHERE dedupe_key = 'announce_batch:' || $1::text RETURNING id AS task_id
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    is_listening: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EndedBatch:
    """``task_id`` is the task that announces the end of the batch."""

    task_id: UUID


DELETE_OLD_DELIVERIES = """
    -- $1 age in seconds, $2 limit
    WITH deleted AS (DELETE FROM webhook_deliveries WHERE id IN (
        SELECT id FROM webhook_deliveries WHERE state <> 'pending' AND created_at < now() - make_interval(secs => $1)
        LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING 1)
    SELECT count(*) AS count FROM deleted
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeletedDeliveries:
    count: int


_BATCH_COUNTS = text("""
    SELECT b.owner_id, now() - greatest(b.created_at, max(u.received_at)) AS idle, b.rejected AS refused_files,
           count(u.id) AS uploads, count(u.id) FILTER (WHERE NOT u.settled) AS unsettled,
           count(u.id) FILTER (WHERE u.duplicate) AS duplicates,
           count(DISTINCT i.id) FILTER (WHERE i.state = 'ready') AS ready,
           count(DISTINCT i.id) FILTER (WHERE i.state = 'rejected') AS rejected,
           count(DISTINCT i.id) FILTER (WHERE i.state = 'failed') AS failed
    FROM batches b LEFT JOIN uploads u ON u.batch_id = b.id LEFT JOIN images i ON i.id = u.image_id
    WHERE b.id = :batch GROUP BY b.id
""")
_INSERT_EVENT = text("SELECT webhook_event(:owner, :event, :subject, CAST(:data AS jsonb))")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BatchCounts:
    """``idle`` is the time since the last upload. ``unsettled`` uploads are not processed.

    ``ready``, ``rejected`` and ``failed`` count images.
    """

    owner_id: UUID
    idle: dt.timedelta
    refused_files: int
    uploads: int
    unsettled: int
    duplicates: int
    ready: int
    rejected: int
    failed: int


async def batch_counts(session: AsyncSession, batch_id: UUID) -> BatchCounts | None:
    row = (await session.execute(_BATCH_COUNTS, {"batch": batch_id})).mappings().one_or_none()
    return None if row is None else BatchCounts(**row)


async def insert_event(
    session: AsyncSession, owner_id: UUID, event: str, *, subject: UUID, data: Mapping[str, object]
) -> None:
    """Insert a delivery for each webhook of the owner that has subscribed to the event."""
    arguments = {"owner": owner_id, "event": event, "subject": subject, "data": json.dumps(data)}
    await session.execute(_INSERT_EVENT, arguments)
