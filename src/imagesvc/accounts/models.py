"""The tables of accounts: users, API keys, failed logins and sessions of browsers."""

import datetime as dt
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from imagesvc.db import Base


class User(Base):
    """An account. ``token_generation`` is a claim of every access token: incrementing it ends all issued ones.

    A deleted account has ``deleted_at`` and ``disabled_at``: its keys, links and shares stop at once, because each
    requires an enabled owner. A task then removes its images and finally this row.
    """

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("role IN ('admin', 'member')", name="role"),
        Index("users_account_key", text("lower(account)"), unique=True, postgresql_where=text("deleted_at IS NULL")),
        Index("users_deleted_at_idx", "id", postgresql_where=text("deleted_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account: Mapped[str]
    role: Mapped[str]
    password_hash: Mapped[str | None]
    token_generation: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    disabled_at: Mapped[dt.datetime | None]
    deleted_at: Mapped[dt.datetime | None]


class ApiKey(Base):
    """A credential for a device or a script. Of the key, only the SHA-256 and the first characters are stored."""

    __tablename__ = "api_keys"
    __table_args__ = (Index(None, "owner_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str]
    prefix: Mapped[str]
    digest: Mapped[bytes] = mapped_column(unique=True)
    scopes: Mapped[list[str]]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[dt.datetime | None]
    last_used_at: Mapped[dt.datetime | None]


class LoginFailure(Base):
    """The number of failed logins of an account from an address. ``key`` is a keyed hash of both."""

    __tablename__ = "login_failures"

    key: Mapped[bytes] = mapped_column(primary_key=True)
    failures: Mapped[int]
    blocked_until: Mapped[dt.datetime]
    forgotten_at: Mapped[dt.datetime] = mapped_column(index=True)


class WebSession(Base):
    """A signed-in browser. Of the cookie, only the SHA-256 is stored.

    The session ends with ``expires_at``, when the account is disabled or deleted, and when ``token_generation`` of the
    account changes. A session of the admin token has ``admin_token_digest`` and ends when another token is configured.
    """

    __tablename__ = "web_sessions"
    __table_args__ = (Index(None, "user_id"), Index(None, "expires_at"))

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    token_generation: Mapped[int]
    admin_token_digest: Mapped[bytes | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[dt.datetime]
