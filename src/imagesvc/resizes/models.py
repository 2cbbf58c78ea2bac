"""The table of resizes."""

import datetime as dt
from typing import Literal, get_args
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from imagesvc.db import Base
from imagesvc.images.models import ProblemJson

State = Literal["pending", "started", "success", "rejected", "failed", "expired"]
_STATES = ", ".join(repr(state) for state in get_args(State))


class Resize(Base):
    """One requested size of one content, by one owner. ``source_key`` is the key of a file that the request contained.

    ``expires_at`` is when the result expires, and for an `expired` row when it is deleted. It is null while the work
    is unfinished.
    """

    __tablename__ = "resizes"
    __table_args__ = (
        CheckConstraint(f"state IN ({_STATES})", name="state"),
        CheckConstraint("(state = 'success') = (key IS NOT NULL)", name="result"),
        CheckConstraint("(state IN ('pending', 'started')) = (expires_at IS NULL)", name="expiry"),
        Index(None, "owner_id", postgresql_include=["state"]),
        Index(None, "owner_id", "created_at"),
        Index(None, "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
    )

    token: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    task_id: Mapped[UUID]
    state: Mapped[State] = mapped_column(Text, server_default="pending")
    source_key: Mapped[str | None] = mapped_column(unique=True)
    key: Mapped[str | None] = mapped_column(unique=True)
    format: Mapped[str]
    width: Mapped[int | None]
    height: Mapped[int | None]
    sha256: Mapped[bytes | None]
    bytes: Mapped[int | None]
    problem: Mapped[ProblemJson | None] = mapped_column(JSONB)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[dt.datetime | None]
