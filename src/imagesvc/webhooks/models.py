"""The tables of webhooks and their deliveries."""

import datetime as dt
from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from imagesvc.db import Base


class Webhook(Base):
    """A subscription. The secret is encrypted with a derived key; ``note`` says why the webhook is disabled."""

    __tablename__ = "webhooks"
    __table_args__ = (Index(None, "owner_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    url: Mapped[str]
    events: Mapped[list[str]]
    sealed_with: Mapped[str]
    sealed_secret: Mapped[bytes]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    disabled_at: Mapped[dt.datetime | None]
    note: Mapped[str | None]


class WebhookDelivery(Base):
    """One event for one webhook. Receivers get its id as ``webhook-id``. A redelivery resets ``attempts`` to 0."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="state"),
        Index(None, "webhook_id", "id"),
        Index(
            "webhook_deliveries_pending_idx",
            "webhook_id",
            "subject_id",
            "id",
            postgresql_where=text("state = 'pending'"),
        ),
        Index("webhook_deliveries_ended_idx", "created_at", postgresql_where=text("state <> 'pending'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    webhook_id: Mapped[UUID] = mapped_column(ForeignKey("webhooks.id"))
    event: Mapped[str]
    subject_id: Mapped[UUID]
    payload: Mapped[Mapping[str, object]] = mapped_column(JSONB)
    state: Mapped[str] = mapped_column(server_default="pending")
    attempts: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    last_attempt_at: Mapped[dt.datetime | None]
    response_status: Mapped[int | None]
    error: Mapped[str | None]
