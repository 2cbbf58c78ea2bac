"""Statements on a service's database, for what only time or an administrator could do."""

from typing import Any

from sqlalchemy import CursorResult, text

from tests.support.service import Service


async def sql(service: Service, statement: str, **values: Any) -> list[dict[str, Any]]:
    """The rows, when there are any. SQLAlchemy takes a SELECT of no columns for one that returns nothing."""
    assert not statement.lstrip().upper().startswith("SELECT FROM"), "select something"
    async with service.background.servers.database.sessions.begin() as session:
        result = await session.execute(text(statement), values)
        assert isinstance(result, CursorResult)
        return [dict(row) for row in result.mappings()] if result.returns_rows else []
