"""The tables of long walks over everything: where each has come to, so that a crash costs one step."""

import datetime as dt
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from imagesvc.db import Base


class Reprocessing(Base):
    """A walk over the blobs that ``wanted`` chooses, by their ids, from ``after`` (exclusive) up to ``until``.

    ``planned`` counts the tasks made so far, out of about ``total``; those of them that are not over yet are in
    ``tasks``. One that is wanted while the same is running is the same.
    """

    __tablename__ = "reprocessings"
    __table_args__ = (
        CheckConstraint("state IN ('running', 'done', 'stopped')", name="state"),
        Index("reprocessings_wanted_key", "wanted", unique=True, postgresql_where=text("state = 'running'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    wanted: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(server_default="running")
    total: Mapped[int]
    planned: Mapped[int] = mapped_column(server_default="0")
    after: Mapped[UUID | None]
    until: Mapped[UUID | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[dt.datetime | None]


class Audit(Base):
    """A comparison of tables and bucket. ``places`` are key prefixes, the first ``position`` of them are done."""

    __tablename__ = "audits"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    wanted: Mapped[dict[str, Any]]
    places: Mapped[list[str]]
    position: Mapped[int] = mapped_column(server_default="0")
    counts: Mapped[dict[str, Any]]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[dt.datetime | None]
