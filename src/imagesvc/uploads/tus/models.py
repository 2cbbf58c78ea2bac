"""The table of resumable uploads."""

import datetime as dt
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from imagesvc.db import Base

UNFINISHED = "state IN ('receiving', 'finishing')"


class ResumableUpload(Base):
    """An upload in several requests. An unfinished upload through a link reserves one file and ``length`` bytes there.

    ``parts`` are ``[number, etag, bytes]`` in order. ``turn`` is `free`, `taken` by the request that has ``epoch``, or
    `wanted` by a newer request. ``metadata`` is Upload-Metadata as it was sent, ``context`` the parsed fields.
    """

    __tablename__ = "resumable_uploads"
    __table_args__ = (
        CheckConstraint("state IN ('receiving', 'finishing', 'done', 'refused')", name="state"),
        CheckConstraint("turn IN ('free', 'taken', 'wanted')", name="turn"),
        CheckConstraint("parts_bytes + tail_bytes <= length", name="offset"),
        CheckConstraint(f"(key IS NULL AND tail_key IS NULL) OR {UNFINISHED}", name="keys"),
        CheckConstraint("(state = 'done') = (upload_id IS NOT NULL)", name="result"),
        CheckConstraint("(state = 'refused') = (problem IS NOT NULL)", name="problem"),
        Index(None, "expires_at"),
        Index(None, "owner_id", "link_id", postgresql_where=text(UNFINISHED)),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    link_id: Mapped[UUID | None] = mapped_column(ForeignKey("links.id"))
    state: Mapped[str] = mapped_column(server_default="receiving")
    epoch: Mapped[int] = mapped_column(server_default="1")
    turn: Mapped[str] = mapped_column(server_default="free")
    length: Mapped[int]
    # the declarative base has an attribute `metadata`
    sent_metadata: Mapped[str] = mapped_column("metadata")
    context: Mapped[dict[str, Any]]
    expected_sha256: Mapped[bytes | None]
    media_type: Mapped[str | None]
    key: Mapped[str | None]
    s3_upload_id: Mapped[str | None]
    next_part: Mapped[int] = mapped_column(server_default="1")
    parts: Mapped[list[tuple[int, str, int]]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    parts_bytes: Mapped[int] = mapped_column(server_default="0")
    tail_key: Mapped[str | None]
    tail_bytes: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[dt.datetime]
    problem: Mapped[dict[str, Any] | None]
    status: Mapped[str | None]
    upload_id: Mapped[UUID | None]
    image_id: Mapped[UUID | None]
