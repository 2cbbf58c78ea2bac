"""Statements about links: asyncpg for the read that opens a link (a hot path), the ORM for the rest.

A statement that takes a caller matches the caller's own links, or all links for an admin.
"""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.accounts.service import Caller
from imagesvc.links.models import Link


def _links_of(caller: Caller) -> Select[Link]:
    query = select(Link)
    return query if caller.is_admin else query.where(Link.owner_id == caller.user_id)


async def link_of(session: AsyncSession, caller: Caller, link_id: UUID) -> Link | None:
    return (await session.execute(_links_of(caller).where(Link.id == link_id))).scalar_one_or_none()


async def insert_link_once(session: AsyncSession, link_id: UUID, columns: Mapping[str, object]) -> None:
    """Does nothing when a link with this id exists."""
    await session.execute(insert(Link).values(id=link_id, **columns).on_conflict_do_nothing(index_elements=[Link.id]))


async def lock_link(session: AsyncSession, caller: Caller, link_id: UUID) -> Link | None:
    query = _links_of(caller).where(Link.id == link_id).with_for_update(key_share=True)
    return (await session.execute(query)).scalar_one_or_none()


async def page_of_links(session: AsyncSession, caller: Caller, *, before: UUID | None, limit: int) -> Sequence[Link]:
    """The newest first: ids are UUIDv7 and sort by time."""
    query = _links_of(caller).order_by(Link.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Link.id < before)
    return (await session.execute(query)).scalars().all()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LinkToOpen:
    """A row of LINK_TO_OPEN."""

    id: UUID
    owner_id: UUID
    label: str | None
    expires_at: dt.datetime
    revoked_at: dt.datetime | None
    max_files: int | None
    max_bytes: int | None
    max_file_bytes: int | None
    used_files: int
    used_bytes: int
    reserved_files: int
    reserved_bytes: int
    visibility: str
    store_id: str | None
    camera_id: str | None
    expired: bool


LINK_TO_OPEN = """
    -- $1 the link; no row when its owner is disabled
    SELECT l.id, l.owner_id, l.label, l.expires_at, l.revoked_at, l.max_files, l.max_bytes, l.max_file_bytes,
           l.used_files, l.used_bytes, l.reserved_files, l.reserved_bytes, l.visibility, l.store_id, l.camera_id,
           l.expires_at <= now() AS expired
    FROM links l JOIN users u ON u.id = l.owner_id AND u.disabled_at IS NULL WHERE l.id = $1
"""
