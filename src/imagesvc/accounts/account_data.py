"""The data of an account: each feature registers its tables, so that removing an account leaves none out.

A feature's ``account_data.py`` lists its tables in an order that foreign keys allow, with the step that removes their
rows. ``operations/account_removal.py`` runs all steps. A test compares the registered tables with the database.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

MAX_ROWS = 1000
"""Rows that one step removes in one transaction."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What one step removed. ``object_keys`` no longer have an owner. ``has_more``: call the step again."""

    has_more: bool
    object_keys: Sequence[str] = ()


RemoveStep = Callable[[AsyncSession, UUID], Awaitable[Removed]]
"""Removes a bounded number of rows of the account in the caller's transaction. It can be repeated.

Raises RetryTask while a request or task of the account still runs.
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AccountData:
    """Rows that belong to an account. ``remove`` removes the account's rows from ``tables``."""

    tables: tuple[str, ...]
    remove: RemoveStep


def rows_of(table: str, delete: str) -> AccountData:
    """Rows without S3 objects: ``delete`` is a DELETE of at most ``:max`` rows of the account ``:user``."""
    statement = text(f"{delete} RETURNING 1")

    async def remove(session: AsyncSession, user_id: UUID) -> Removed:
        deleted = (await session.execute(statement, {"user": user_id, "max": MAX_ROWS})).all()
        return Removed(has_more=len(deleted) == MAX_ROWS)

    return AccountData(tables=(table,), remove=remove)


ACCOUNT_DATA = (
    rows_of(
        "idempotency_keys",
        "DELETE FROM idempotency_keys WHERE (caller_id, key_sha256) IN"
        " (SELECT caller_id, key_sha256 FROM idempotency_keys WHERE caller_id = :user LIMIT :max)",
    ),
    rows_of(
        "api_keys",
        "DELETE FROM api_keys WHERE id IN (SELECT id FROM api_keys WHERE owner_id = :user LIMIT :max)",
    ),
    rows_of(
        "web_sessions",
        "DELETE FROM web_sessions WHERE digest IN (SELECT digest FROM web_sessions WHERE user_id = :user LIMIT :max)",
    ),
)
