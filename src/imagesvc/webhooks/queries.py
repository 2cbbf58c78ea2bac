"""Statements about webhooks. On behalf of a caller they match the caller's own, or all for an admin."""

import datetime as dt
from collections.abc import Sequence
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
    """FOR UPDATE: no event is made for it meanwhile."""
    query = _of(caller).where(Webhook.id == webhook_id).with_for_update()
    return (await session.execute(query)).scalar_one_or_none()


async def lock_account(session: AsyncSession, user_id: UUID) -> bool:
    """One change of an account's webhooks at a time; False when the account is gone or disabled."""
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
    session: AsyncSession, webhook_id: UUID, *, since: dt.datetime | None, most: int
) -> Sequence[WebhookDelivery]:
    """The oldest first."""
    query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.state == "failed")
    if since is not None:
        query = query.where(WebhookDelivery.created_at >= since)
    return (await session.execute(query.order_by(WebhookDelivery.id).limit(most).with_for_update())).scalars().all()


async def send_again(session: AsyncSession, deliveries: Sequence[WebhookDelivery]) -> None:
    """Those, which are locked and not pending, are new again, each with a task."""
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
    """With its log and what was still to be sent. A delivery under way finds its row gone."""
    gone = delete(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
    await session.execute(gone)
    await session.execute(delete(Task).where(Task.turn_of == webhook_id, Task.state != "running"))
    await session.execute(delete(Webhook).where(Webhook.id == webhook_id))


async def delivery_to_send(session: AsyncSession, delivery_id: UUID) -> tuple[WebhookDelivery, Webhook, bool] | None:
    """A pending delivery, its webhook, and whether the account behind it may have anything told; None otherwise."""
    query = (
        select(WebhookDelivery, Webhook, User.disabled_at.is_(None))
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .join(User, User.id == Webhook.owner_id)
        .where(WebhookDelivery.id == delivery_id, WebhookDelivery.state == "pending")
    )
    row = (await session.execute(query)).one_or_none()
    return None if row is None else (row[0], row[1], row[2])


async def is_another_before(session: AsyncSession, delivery: WebhookDelivery) -> bool:
    """Whether an older event of the same subject still waits for this webhook."""
    older = exists().where(
        WebhookDelivery.webhook_id == delivery.webhook_id,
        WebhookDelivery.subject_id == delivery.subject_id,
        WebhookDelivery.state == "pending",
        WebhookDelivery.id < delivery.id,
    )
    return bool((await session.execute(select(older))).scalar_one())


async def got_through_since(session: AsyncSession, webhook_id: UUID, moment: dt.datetime) -> bool:
    """Whether the webhook took anything since then."""
    success = exists().where(
        WebhookDelivery.webhook_id == webhook_id,
        WebhookDelivery.state == "delivered",
        WebhookDelivery.last_attempt_at >= moment,
    )
    return bool((await session.execute(select(success))).scalar_one())


HAS_LISTENER = """
    SELECT EXISTS (SELECT FROM webhooks WHERE owner_id = $1 AND disabled_at IS NULL
                   AND 'batch.finished' = ANY(events)) AS found
"""
END_BATCH = """
    UPDATE tasks SET payload = payload || '{"request_ended": true}', due_at = least(due_at, now())
    WHERE dedupe_key = 'announce_batch:' || $1::text RETURNING id
"""
BATCH = text("""
    SELECT b.owner_id, b.rejected, greatest(b.created_at, max(u.received_at)) AS last_seen, now() AS now,
           count(u.id) AS uploads, count(u.id) FILTER (WHERE NOT u.settled) AS unsettled,
           count(u.id) FILTER (WHERE u.duplicate) AS duplicates,
           count(DISTINCT i.id) FILTER (WHERE i.state = 'ready') AS ready,
           count(DISTINCT i.id) FILTER (WHERE i.state = 'rejected') AS unusable,
           count(DISTINCT i.id) FILTER (WHERE i.state = 'failed') AS failed
    FROM batches b LEFT JOIN uploads u ON u.batch_id = b.id LEFT JOIN images i ON i.id = u.image_id
    WHERE b.id = :batch GROUP BY b.id
""")
EVENT = text("SELECT webhook_event(:owner, :event, :subject, CAST(:data AS jsonb))")
FORGET = """
    WITH gone AS (DELETE FROM webhook_deliveries WHERE id IN (
        SELECT id FROM webhook_deliveries WHERE state <> 'pending' AND created_at < now() - make_interval(secs => $1)
        LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING 1)
    SELECT count(*) AS count FROM gone
"""
