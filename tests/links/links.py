"""Helpers for the tests of links: times, the errors of a response, and changes made directly in the database."""

import datetime as dt
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import text

from tests.support.service import Service

NOW = dt.datetime.now(dt.UTC)


def moment(**ahead: int) -> str:
    """A time as clients write it, relative to the start of the test run."""
    return (NOW + dt.timedelta(**ahead)).isoformat()


def wrong_members(answer: httpx.Response) -> tuple[int, list[str]]:
    """The status and the JSON pointers of the errors."""
    return answer.status_code, [error["pointer"] for error in answer.json().get("errors", ())]


async def expire(service: Service, link: dict[str, Any]) -> None:
    """Make the link expired now."""
    async with service.background.servers.database.sessions.begin() as session:
        await session.execute(
            text("UPDATE links SET expires_at = now() - interval '1 second' WHERE id = :id"), {"id": UUID(link["id"])}
        )


async def disable_owner(service: Service) -> None:
    async with service.background.servers.database.sessions.begin() as session:
        await session.execute(text("UPDATE users SET disabled_at = now()"))
