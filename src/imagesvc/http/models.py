"""The table of idempotency keys."""

import datetime as dt
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from imagesvc.db import Base


class IdempotencyKey(Base):
    """A request with an ``Idempotency-Key``. It is finished if it has an ``answer``, and runs under a lease otherwise.

    ``answer`` is encrypted (``http/idempotency.py``), because it may hold a secret that is shown only once, such as
    that of a webhook.
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
