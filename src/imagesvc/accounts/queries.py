"""Statements about accounts. The first two stand in the way of every request: one round trip, by an index."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.accounts.models import ApiKey, User

ACCOUNT_OF_ACCESS = """
    SELECT id, account, role FROM users WHERE id = $1 AND token_generation = $2 AND disabled_at IS NULL
"""

ACCOUNT_OF_KEY = """
    SELECT u.id, u.account, u.role, k.id AS key_id, k.scopes, k.expires_at <= now() AS expired,
           k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute' AS unmarked
    FROM api_keys k JOIN users u ON u.id = k.owner_id AND u.disabled_at IS NULL WHERE k.digest = $1
"""

MARK_KEY_USED = """
    -- once a minute; of all requests that come at that moment one writes and none waits
    UPDATE api_keys SET last_used_at = now() WHERE id = (
        SELECT id FROM api_keys WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
        FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING id
"""

LOGIN = """
    -- $1 account, $2 the key of account and address; always one row, whether or not there is such an account
    SELECT u.id, u.role, u.password_hash, u.token_generation, u.disabled_at IS NOT NULL AS disabled,
           f.failures, ceil(extract(epoch FROM f.blocked_until - now()))::bigint AS blocked_seconds
    FROM (SELECT) AS asked
    LEFT JOIN users u ON lower(u.account) = lower($1) AND u.deleted_at IS NULL
    LEFT JOIN login_failures f ON f.key = $2 AND f.forgotten_at > now()
"""

LOGIN_FAILED = """
    -- $1 key, $2 failures that cost nothing, $3 longest block in seconds, $4 seconds until all is forgotten;
    -- every new row takes old ones along, so that there are never more than come in that time
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

LOGIN_WORKED = "DELETE FROM login_failures WHERE key = $1 RETURNING failures"

REHASHED = "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2 RETURNING id"


async def user(session: AsyncSession, user_id: UUID) -> User | None:
    return (
        await session.execute(select(User).where(User.id == user_id, User.deleted_at.is_(None)))
    ).scalar_one_or_none()


async def lock_user(session: AsyncSession, user_id: UUID) -> User | None:
    query = select(User).where(User.id == user_id, User.deleted_at.is_(None)).with_for_update(key_share=True)
    return (await session.execute(query)).scalar_one_or_none()


async def user_by_account(session: AsyncSession, account: str) -> User | None:
    query = select(User).where(func.lower(User.account) == func.lower(account), User.deleted_at.is_(None))
    return (await session.execute(query)).scalar_one_or_none()


async def page_of_users(session: AsyncSession, *, after: UUID | None, limit: int) -> Sequence[User]:
    """The oldest first."""
    query = select(User).where(User.deleted_at.is_(None)).order_by(User.id).limit(limit)
    if after is not None:
        query = query.where(User.id > after)
    return (await session.execute(query)).scalars().all()


async def page_of_keys(session: AsyncSession, owner_id: UUID, *, before: UUID | None, limit: int) -> Sequence[ApiKey]:
    """The newest first."""
    query = select(ApiKey).where(ApiKey.owner_id == owner_id).order_by(ApiKey.id.desc()).limit(limit)
    if before is not None:
        query = query.where(ApiKey.id < before)
    return (await session.execute(query)).scalars().all()


async def delete_key(session: AsyncSession, owner_id: UUID, key_id: UUID) -> bool:
    gone = delete(ApiKey).where(ApiKey.id == key_id, ApiKey.owner_id == owner_id).returning(ApiKey.id)
    return (await session.execute(gone)).one_or_none() is not None


async def delete_keys_of(session: AsyncSession, owner_id: UUID) -> None:
    await session.execute(delete(ApiKey).where(ApiKey.owner_id == owner_id))
