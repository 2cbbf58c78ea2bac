"""What tests do to links behind the service's back."""

from typing import Any
from uuid import UUID

from sqlalchemy import text

from tests.support.service import Service


async def expire(service: Service, link: dict[str, Any]) -> None:
    """As if its time had passed."""
    async with service.background.servers.database.sessions.begin() as session:
        await session.execute(
            text("UPDATE links SET expires_at = now() - interval '1 second' WHERE id = :id"), {"id": UUID(link["id"])}
        )


async def disable_owner(service: Service) -> None:
    async with service.background.servers.database.sessions.begin() as session:
        await session.execute(text("UPDATE users SET disabled_at = now()"))
