"""Routes of webhooks and their deliveries."""

from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Query, Request, Response

from imagesvc.accounts.router import CurrentCaller, needs_bearer
from imagesvc.errors import Forbidden, Malformed
from imagesvc.http.idempotent_routes import IDEMPOTENCY_PROBLEMS, IdempotencyKey, idempotent_json
from imagesvc.http.pagination import Page, PagingPart
from imagesvc.http.problems import problems
from imagesvc.http.web_parts import part
from imagesvc.webhooks.errors import (
    DeliveryNotFound,
    SecretUnreadable,
    TooManyWebhooks,
    WebhookDisabled,
    WebhookNotFound,
    WebhookUrlRefused,
)
from imagesvc.webhooks.schemas import (
    DeliveryOut,
    MadeWebhook,
    NewWebhook,
    Redelivered,
    Redelivery,
    WebhookChanges,
    WebhookOut,
)
from imagesvc.webhooks.service import Webhooks

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], dependencies=[needs_bearer])
WebhooksPart = Annotated[Webhooks, Depends(part(Webhooks))]


@router.post(
    "",
    status_code=201,
    response_model=MadeWebhook,
    responses=problems(Forbidden, WebhookUrlRefused, TooManyWebhooks, SecretUnreadable, *IDEMPOTENCY_PROBLEMS),
)
async def subscribe(
    request: Request, body: NewWebhook, caller: CurrentCaller, webhooks: WebhooksPart, key: IdempotencyKey = None
) -> Response:
    """Send events of your images, batches and jobs to a URL, signed by Standard Webhooks with the `secret`.

    Each event is delivered at least once; repeated deliveries have the same `webhook-id`. A delivery that is not
    answered with a 2xx is retried for about a day.
    """

    async def create(webhook_id: UUID) -> MadeWebhook:
        return await webhooks.create(caller, body, webhook_id=webhook_id)

    return await idempotent_json(request, caller.user_id, key, create, status=201)


@router.get("", responses=problems(Forbidden, Malformed))
async def list_webhooks(caller: CurrentCaller, webhooks: WebhooksPart, paging: PagingPart) -> Page[WebhookOut]:
    """Your webhooks, the newest first. An admin sees all webhooks."""

    async def rows(last: UUID | None, limit: int) -> Sequence[WebhookOut]:
        return await webhooks.page(caller, before=last, limit=limit)

    return await paging.page(
        "webhooks", caller.user_id, rows, key=(UUID, lambda webhook: webhook.id), item=lambda webhook: webhook
    )


@router.get("/{webhook_id}", responses=problems(Forbidden, WebhookNotFound))
async def get_webhook(request: Request, webhook_id: UUID, caller: CurrentCaller, webhooks: WebhooksPart) -> WebhookOut:
    """A webhook. Its `note` says why it is disabled."""
    return await webhooks.get(caller, webhook_id)


@router.patch("/{webhook_id}", responses=problems(Forbidden, WebhookNotFound))
async def change_webhook(
    request: Request, webhook_id: UUID, body: WebhookChanges, caller: CurrentCaller, webhooks: WebhooksPart
) -> WebhookOut:
    """Change the events of a webhook, disable it, or enable it."""
    return await webhooks.change(caller, webhook_id, body)


@router.delete("/{webhook_id}", status_code=204, responses=problems(Forbidden, WebhookNotFound))
async def unsubscribe(request: Request, webhook_id: UUID, caller: CurrentCaller, webhooks: WebhooksPart) -> None:
    """Delete a webhook with its deliveries, including those not sent yet."""
    await webhooks.delete(caller, webhook_id)


@router.get("/{webhook_id}/deliveries", responses=problems(Forbidden, WebhookNotFound, Malformed))
async def list_deliveries(
    webhook_id: UUID,
    caller: CurrentCaller,
    webhooks: WebhooksPart,
    paging: PagingPart,
    state: Annotated[
        Literal["pending", "delivered", "failed"] | None, Query(description="only deliveries in this state")
    ] = None,
) -> Page[DeliveryOut]:
    """The deliveries of a webhook, the newest first. Ended deliveries are kept for a month."""

    async def rows(last: UUID | None, limit: int) -> Sequence[DeliveryOut]:
        return await webhooks.deliveries(caller, webhook_id, state=state, before=last, limit=limit)

    return await paging.page(
        "deliveries",
        caller.user_id,
        rows,
        key=(UUID, lambda delivery: delivery.id),
        item=lambda delivery: delivery,
        filters={"webhook": webhook_id, "state": state},
    )


@router.post(
    "/{webhook_id}/redeliver", status_code=202, responses=problems(Forbidden, WebhookNotFound, WebhookDisabled)
)
async def redeliver_failed(
    request: Request,
    webhook_id: UUID,
    caller: CurrentCaller,
    body: Annotated[Redelivery, Body(default_factory=Redelivery)],
    webhooks: WebhooksPart,
) -> Redelivered:
    """Send failed deliveries again: all, or those of events since a time. At most 500 per call."""
    return await webhooks.redeliver_failed(caller, webhook_id, body)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/redeliver",
    status_code=202,
    responses=problems(Forbidden, WebhookNotFound, DeliveryNotFound, WebhookDisabled),
)
async def redeliver(
    request: Request, webhook_id: UUID, delivery_id: UUID, caller: CurrentCaller, webhooks: WebhooksPart
) -> DeliveryOut:
    """Send one delivery again, with the same `webhook-id`."""
    return await webhooks.redeliver(caller, webhook_id, delivery_id)
