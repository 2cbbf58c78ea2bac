"""Runs SQL on the database of a service, for changes that only time or an administrator makes."""

from typing import Any

from sqlalchemy import CursorResult, text

from tests.support.service import Service


async def sql(service: Service, statement: str, **values: Any) -> list[dict[str, Any]]:
    """The rows of the statement. A SELECT without columns fails: SQLAlchemy treats it as a statement without rows."""
    assert not statement.lstrip().upper().startswith("SELECT FROM"), "name at least one column"
    async with service.background.servers.database.sessions.begin() as session:
        result = await session.execute(text(statement), values)
        assert isinstance(result, CursorResult)
        return [dict(row) for row in result.mappings()] if result.returns_rows else []
