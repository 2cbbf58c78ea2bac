"""Statements about links. On behalf of a caller they match the caller's own, or all for an admin."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.accounts.service import Caller
from imagesvc.links.models import Link


def _of(caller: Caller) -> Select[Link]:
    query = select(Link)
    return query if caller.is_admin else query.where(Link.owner_id == caller.user_id)


async def link_of(session: AsyncSession, caller: Caller, link_id: UUID) -> Link | None:
    return (await session.execute(_of(caller).where(Link.id == link_id))).scalar_one_or_none()


async def insert_link_once(session: AsyncSession, link_id: UUID, columns: Mapping[str, Any]) -> None:
    await session.execute(insert(Link).values(id=link_id, **columns).on_conflict_do_nothing(index_elements=[Link.id]))


async def lock_link(session: AsyncSession, caller: Caller, link_id: UUID) -> Link | None:
    query = _of(caller).where(Link.id == link_id).with_for_update(key_share=True)
    return (await session.execute(query)).scalar_one_or_none()


async def page_of_links(session: AsyncSession, caller: Caller, *, before: UUID | None, limit: int) -> Sequence[Link]:
    """The newest first; ids are UUIDv7 and so sort by time."""
    query = _of(caller).order_by(Link.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Link.id < before)
    return (await session.execute(query)).scalars().all()


USABLE_LINK = """
    SELECT l.id, l.owner_id, l.label, l.expires_at, l.revoked_at, l.max_files, l.max_bytes, l.max_file_bytes,
           l.used_files, l.used_bytes, l.reserved_files, l.reserved_bytes, l.visibility, l.store_id, l.camera_id,
           l.expires_at <= now() AS expired
    FROM links l JOIN users u ON u.id = l.owner_id AND u.disabled_at IS NULL WHERE l.id = $1
"""
