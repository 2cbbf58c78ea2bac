"""The table of requests that are done once for each ``Idempotency-Key``."""

import datetime as dt
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from imagesvc.db import Base


class IdempotencyKey(Base):
    """A request under a key of its caller. With an ``answer`` it is done; without one, it runs under a lease.

    ``answer`` is sealed (``http/idempotency.py``): it may hold a secret that is shown only once, as of a webhook.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        CheckConstraint("(answer IS NULL) = (lease_token IS NOT NULL)", name="lease"),
        Index(None, "created_at"),
    )

    caller_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    key_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    resource_id: Mapped[UUID]
    fingerprint: Mapped[bytes | None]
    body_bytes: Mapped[int | None]
    lease_token: Mapped[UUID | None]
    lease_until: Mapped[dt.datetime | None]
    sealed_with: Mapped[str | None]
    answer: Mapped[bytes | None]
