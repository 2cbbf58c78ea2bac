"""The table of background tasks."""

import datetime as dt
from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from imagesvc.db import Base

Payload = Mapping[str, object]
"""A JSON object. Each kind of task has members of its own."""


class Task(Base):
    """One unit of work: `pending` until ``due_at``, `running` under a lease, or `dead` when its attempts are used up.

    A completed task has no row. ``dedupe_key`` is unique: many requests for the same work share one task.
    ``turn_of`` is the group of a task in the fair queue (``fair_queue.py``); tasks without one go through arq.
    """

    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'running', 'dead')", name="state"),
        CheckConstraint("(state = 'running') = (lease_token IS NOT NULL)", name="lease"),
        Index(None, "due_at", postgresql_where=text("state = 'pending' AND turn_of IS NULL")),
        Index("tasks_turns_idx", "turn_of", "state", "due_at", postgresql_where=text("turn_of IS NOT NULL")),
        Index(None, "lease_until", postgresql_where=text("state = 'running'")),
        Index(None, "blob_id"),
        Index(None, "image_id"),
        Index("tasks_dedupe_key_key", "dedupe_key", unique=True),
        Index("tasks_dead_idx", "id", postgresql_where=text("state = 'dead'")),
        Index(
            "tasks_reprocessing_idx",
            text("(payload ->> 'reprocessing')"),
            postgresql_where=text("kind = 'reprocess'"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    blob_id: Mapped[UUID | None] = mapped_column(ForeignKey("blobs.id"))
    image_id: Mapped[UUID | None]
    payload: Mapped[Payload] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    dedupe_key: Mapped[str | None]
    turn_of: Mapped[UUID | None]
    state: Mapped[str] = mapped_column(server_default="pending")
    attempts: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    due_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    lease_token: Mapped[UUID | None]
    lease_until: Mapped[dt.datetime | None]
    last_error: Mapped[str | None]
    died_at: Mapped[dt.datetime | None]
