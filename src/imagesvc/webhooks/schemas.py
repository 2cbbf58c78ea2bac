"""Request and response bodies of the webhook routes."""

import datetime as dt
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from imagesvc.fetching import MAX_URL_LENGTH
from imagesvc.http.timestamps import Timestamp
from imagesvc.webhooks.models import Webhook, WebhookDelivery

Event = Literal["image.ready", "image.rejected", "image.failed", "batch.finished", "job.finished"]
Events = Annotated[list[Event], Field(min_length=1, max_length=20), AfterValidator(lambda events: sorted({*events}))]
Url = Annotated[str, StringConstraints(min_length=1, max_length=MAX_URL_LENGTH)]

_ID, _DELIVERY_ID = "01995f4e-4444-7c3e-9a8d-0f8e5b7f1a44", "01995f4e-5555-7c3e-9a8d-0f8e5b7f1a55"
_IMAGE_ID = "01995f4e-0000-7c3e-9a8d-0f8e5b7f1a03"
_URL = "https://till.example.org/hooks/images"
_WEBHOOK: dict[str, JsonValue] = {
    "id": _ID,
    "url": _URL,
    "events": ["image.failed", "image.ready"],
    "state": "enabled",
    "note": None,
    "created_at": "2026-11-20T09:00:00Z",
    "disabled_at": None,
}
_DELIVERY: dict[str, JsonValue] = {
    "id": _DELIVERY_ID,
    "event": "image.ready",
    "state": "delivered",
    "attempts": 1,
    "created_at": "2026-11-20T09:00:01Z",
    "last_attempt_at": "2026-11-20T09:00:02Z",
    "response_status": 204,
    "error": None,
    "payload": {
        "type": "image.ready",
        "timestamp": "2026-11-20T09:00:01.250Z",
        "data": {
            "image_id": _IMAGE_ID,
            "state": "ready",
            "problem": None,
            "title": "a",
            "media_type": "image/jpeg",
            "sha256": "941b9c7bfe35e0a3…",
            "width": 3000,
            "height": 4000,
            "url": f"/v1/images/{_IMAGE_ID}",
        },
    },
}


class NewWebhook(BaseModel):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"url": _URL, "events": ["image.ready", "image.failed"]}]}
    )

    url: Url
    events: Events


class WebhookChanges(BaseModel):
    """Absent members do not change."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"enabled": True}]})

    events: Events | None = None
    enabled: bool | None = None


class WebhookOut(BaseModel):
    """A subscription. ``note`` says why it is disabled."""

    model_config = ConfigDict(json_schema_extra={"examples": [_WEBHOOK]})

    id: UUID
    url: str
    events: list[str]
    state: Literal["enabled", "disabled"]
    note: str | None
    created_at: dt.datetime
    disabled_at: dt.datetime | None

    @classmethod
    def of(cls, webhook: Webhook) -> Self:
        columns = {name: getattr(webhook, name) for name in cls.model_fields if name != "state"}
        return cls(state="enabled" if webhook.disabled_at is None else "disabled", **columns)


class MadeWebhook(WebhookOut):
    """A new webhook with its secret, which signs the deliveries. No other response contains the secret."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_WEBHOOK, "secret": "whsec_<44 letters>"}]})

    secret: str

    @classmethod
    def with_secret(cls, webhook: Webhook, secret: str) -> Self:
        return cls(**WebhookOut.of(webhook).model_dump(), secret=secret)


class DeliveryOut(BaseModel):
    """One event for one webhook. The header ``webhook-id`` is `msg_` followed by ``id``."""

    model_config = ConfigDict(json_schema_extra={"examples": [_DELIVERY]})

    id: UUID
    event: str
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    created_at: dt.datetime
    last_attempt_at: dt.datetime | None
    response_status: int | None
    error: str | None
    payload: dict[str, object]

    @classmethod
    def of(cls, delivery: WebhookDelivery) -> Self:
        return cls(**{name: getattr(delivery, name) for name in cls.model_fields})


class Redelivery(BaseModel):
    """Selects failed deliveries; all without ``since``."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"since": "2026-11-20T00:00:00Z"}]})

    since: Timestamp | None = None


class Redelivered(BaseModel):
    """The number of deliveries that are sent again. Call again when there are ``more``."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"count": 12, "more": False}]})

    count: int
    more: bool
