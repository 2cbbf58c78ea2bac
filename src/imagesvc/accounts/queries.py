"""Statements of accounts.

Credentials and logins use asyncpg: every request checks a credential, by one indexed statement in one round trip. The
ORM does everything else.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.accounts.models import ApiKey, User


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAccount:
    """The enabled account of an access token."""

    id: UUID
    account: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAccount:
    """The enabled account of an API key, and the key. ``unmarked``: its ``last_used_at`` is over a minute old."""

    id: UUID
    account: str
    role: str
    key_id: UUID
    scopes: list[str]
    expired: bool | None
    unmarked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginAccount:
    """An enabled account with a password. ``failures`` is None when no failed login is on record."""

    id: UUID
    role: str
    password_hash: str
    token_generation: int
    failures: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginLookup:
    """What a login needs to know. The columns of the account are None when it does not exist."""

    id: UUID | None
    role: str | None
    password_hash: str | None
    token_generation: int | None
    disabled: bool
    failures: int | None
    blocked_seconds: int | None

    def enabled_account(self) -> LoginAccount | None:
        """The account, unless it is missing, disabled or without a password."""
        if self.id is None or self.role is None or self.token_generation is None:
            return None
        if self.disabled or self.password_hash is None:
            return None
        return LoginAccount(
            id=self.id,
            role=self.role,
            password_hash=self.password_hash,
            token_generation=self.token_generation,
            failures=self.failures,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """A row of SESSION: the enabled account of a session that has not expired."""

    id: UUID
    account: str
    role: str
    admin_token_digest: bytes | None
    created_at: dt.datetime


ACCOUNT_BY_ACCESS = """
    SELECT id, account, role FROM users WHERE id = $1 AND token_generation = $2 AND disabled_at IS NULL
"""

ACCOUNT_BY_KEY = """
    SELECT u.id, u.account, u.role, k.id AS key_id, k.scopes, k.expires_at <= now() AS expired,
           k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute' AS unmarked
    FROM api_keys k JOIN users u ON u.id = k.owner_id AND u.disabled_at IS NULL WHERE k.digest = $1
"""

MARK_KEY_USED = """
    -- at most once a minute: of concurrent requests, one writes and none waits
    UPDATE api_keys SET last_used_at = now() WHERE id = (
        SELECT id FROM api_keys WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
        FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING id
"""

LOGIN_LOOKUP = """
    -- $1 account, $2 key of account and address; returns one row even when the account does not exist
    SELECT u.id, u.role, u.password_hash, u.token_generation, u.disabled_at IS NOT NULL AS disabled,
           f.failures, ceil(extract(epoch FROM f.blocked_until - now()))::bigint AS blocked_seconds
    FROM (SELECT) AS asked
    LEFT JOIN users u ON lower(u.account) = lower($1) AND u.deleted_at IS NULL
    LEFT JOIN login_failures f ON f.key = $2 AND f.forgotten_at > now()
"""

COUNT_FAILURE = """
    -- $1 key, $2 failures without a wait, $3 longest wait in seconds, $4 seconds until the count expires;
    -- each call deletes up to 20 expired rows, so that the table does not grow
    WITH old AS (
        DELETE FROM login_failures WHERE key IN (
            SELECT key FROM login_failures WHERE forgotten_at <= now() AND key <> $1
            ORDER BY forgotten_at LIMIT 20 FOR UPDATE SKIP LOCKED)
    )
    INSERT INTO login_failures AS f (key, failures, blocked_until, forgotten_at)
    VALUES ($1, 1, now(), now() + make_interval(secs => $4))
    ON CONFLICT (key) DO UPDATE SET
        failures = CASE WHEN f.forgotten_at <= now() THEN 1 ELSE f.failures + 1 END,
        blocked_until = CASE
            WHEN f.forgotten_at <= now() OR f.failures + 1 < $2 THEN now()
            ELSE now() + make_interval(secs => least($3, 2 ^ least(f.failures + 1 - $2, 30)))
        END,
        forgotten_at = excluded.forgotten_at
    RETURNING failures
"""

DELETE_FAILURES = "DELETE FROM login_failures WHERE key = $1 RETURNING failures"

REPLACE_HASH = "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2 RETURNING id"

SESSION = """
    -- $1 digest of the cookie
    SELECT u.id, u.account, u.role, s.admin_token_digest, s.created_at
    FROM web_sessions s JOIN users u ON u.id = s.user_id AND u.token_generation = s.token_generation
    WHERE s.digest = $1 AND s.expires_at > now() AND u.disabled_at IS NULL
"""

INSERT_SESSION = """
    -- $1 digest, $2 account, $3 digest of the admin token or NULL, $4 seconds; each call deletes up to 20 expired rows
    WITH old AS (
        DELETE FROM web_sessions WHERE digest IN (
            SELECT digest FROM web_sessions WHERE expires_at <= now() ORDER BY expires_at LIMIT 20
            FOR UPDATE SKIP LOCKED)
    )
    INSERT INTO web_sessions (digest, user_id, token_generation, admin_token_digest, expires_at)
    SELECT $1, id, token_generation, $3, now() + make_interval(secs => $4)
    FROM users WHERE id = $2 AND disabled_at IS NULL RETURNING digest
"""

DELETE_SESSION = "DELETE FROM web_sessions WHERE digest = $1 RETURNING digest"


async def user(session: AsyncSession, user_id: UUID) -> User | None:
    query = select(User).where(User.id == user_id, User.deleted_at.is_(None))
    return (await session.execute(query)).scalar_one_or_none()


async def lock_user(session: AsyncSession, user_id: UUID) -> User | None:
    query = select(User).where(User.id == user_id, User.deleted_at.is_(None)).with_for_update(key_share=True)
    return (await session.execute(query)).scalar_one_or_none()


async def user_by_account(session: AsyncSession, account: str) -> User | None:
    query = select(User).where(func.lower(User.account) == func.lower(account), User.deleted_at.is_(None))
    return (await session.execute(query)).scalar_one_or_none()


async def page_of_users(session: AsyncSession, *, after: UUID | None, limit: int) -> Sequence[User]:
    """Accounts, the oldest first."""
    query = select(User).where(User.deleted_at.is_(None)).order_by(User.id).limit(limit)
    if after is not None:
        query = query.where(User.id > after)
    return (await session.execute(query)).scalars().all()


async def page_of_keys(session: AsyncSession, owner_id: UUID, *, before: UUID | None, limit: int) -> Sequence[ApiKey]:
    """Keys of the owner, the newest first."""
    query = select(ApiKey).where(ApiKey.owner_id == owner_id).order_by(ApiKey.id.desc()).limit(limit)
    if before is not None:
        query = query.where(ApiKey.id < before)
    return (await session.execute(query)).scalars().all()


async def delete_key(session: AsyncSession, owner_id: UUID, key_id: UUID) -> bool:
    statement = delete(ApiKey).where(ApiKey.id == key_id, ApiKey.owner_id == owner_id).returning(ApiKey.id)
    return (await session.execute(statement)).one_or_none() is not None


async def delete_keys_of(session: AsyncSession, owner_id: UUID) -> None:
    await session.execute(delete(ApiKey).where(ApiKey.owner_id == owner_id))
