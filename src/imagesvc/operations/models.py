"""The tables of runs over all blobs or all objects. Each row holds the position of its run, so that it can continue."""

import datetime as dt
from collections.abc import Mapping
from typing import Literal, TypedDict
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import CheckConstraint, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from imagesvc.db import Base

DerivedPart = Literal["metadata", "renditions", "score"]


class ReprocessingJson(TypedDict):
    """What a run does: ``parts`` to derive again, and the fields of the ``BlobFilter`` that selects the blobs."""

    parts: list[DerivedPart]
    which: dict[str, JsonValue]


class Reprocessing(Base):
    """A run over the blobs that ``wanted`` selects, by id, from ``after`` (exclusive) to ``until`` (inclusive).

    ``planned`` counts the tasks inserted so far, out of about ``total``. Those that have not ended are in ``tasks``.
    At most one run with the same ``wanted`` is `running`.
    """

    __tablename__ = "reprocessings"
    __table_args__ = (
        CheckConstraint("state IN ('running', 'done', 'stopped')", name="state"),
        Index("reprocessings_wanted_key", "wanted", unique=True, postgresql_where=text("state = 'running'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    wanted: Mapped[ReprocessingJson] = mapped_column(JSONB)
    state: Mapped[str] = mapped_column(server_default="running")
    total: Mapped[int]
    planned: Mapped[int] = mapped_column(server_default="0")
    after: Mapped[UUID | None]
    until: Mapped[UUID | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[dt.datetime | None]


class Audit(Base):
    """A comparison of tables and bucket. ``places`` are key prefixes; the first ``position`` of them are done."""

    __tablename__ = "audits"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    wanted: Mapped[Mapping[str, object]] = mapped_column(JSONB)
    places: Mapped[list[str]]
    position: Mapped[int] = mapped_column(server_default="0")
    counts: Mapped[dict[str, int]] = mapped_column(JSONB)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[dt.datetime | None]
