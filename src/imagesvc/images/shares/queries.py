"""Statements about shares: asyncpg for the read that opens a share (a hot path), the ORM for the rest."""

import dataclasses
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.accounts.service import Caller
from imagesvc.images.models import Image, Share, State, Visibility

SHARED_FILE = """
    -- $1 the share; the file that it shows: the original, or the rendition, NULL when that does not exist yet
    SELECT s.expires_at <= now() AS expired, s.preset, s.format, i.id AS image_id, i.state, i.visibility, i.title,
           i.blob_id, b.media_type, CASE WHEN s.preset IS NULL THEN b.key ELSE r.key END AS key,
           CASE WHEN s.preset IS NULL THEN b.sha256 ELSE r.sha256 END AS sha256,
           CASE WHEN s.preset IS NULL THEN b.bytes ELSE r.bytes END AS bytes,
           (SELECT u.filename FROM uploads u WHERE u.image_id = i.id ORDER BY u.id LIMIT 1) AS filename
    FROM shares s JOIN images i ON i.id = s.image_id JOIN users o ON o.id = i.owner_id AND o.disabled_at IS NULL
    JOIN blobs b ON b.id = i.blob_id
    LEFT JOIN LATERAL rendition_named(b.id, b.width, b.height, s.preset, s.format) r ON i.state <> 'pending'
    WHERE s.id = $1
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SharedRow:
    """A row of SHARED_FILE. ``key``, ``sha256`` and ``bytes`` are None when the shared rendition does not exist."""

    expired: bool
    preset: str | None
    format: str | None
    image_id: UUID
    state: State
    visibility: Visibility
    title: str
    blob_id: UUID
    media_type: str
    key: str | None
    sha256: bytes | None
    bytes: int | None
    filename: str | None


async def lock_image_to_share(session: AsyncSession, caller: Caller, image_id: UUID) -> bool:
    """Lock an image so that it is not deleted meanwhile. Returns False unless the caller owns it or is an admin."""
    query = select(Image.id).where(Image.id == image_id).with_for_update(read=True, key_share=True)
    if not caller.is_admin:
        query = query.where(Image.owner_id == caller.user_id)
    return (await session.execute(query)).one_or_none() is not None


async def page_of_shares(session: AsyncSession, image_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Share]:
    """The newest first."""
    query = select(Share).where(Share.image_id == image_id).order_by(Share.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Share.id < before)
    return (await session.execute(query)).scalars().all()


async def delete_share(session: AsyncSession, image_id: UUID, share_id: UUID) -> bool:
    """Returns False when there is no such share."""
    deleted = delete(Share).where(Share.id == share_id, Share.image_id == image_id).returning(Share.id)
    return (await session.execute(deleted)).one_or_none() is not None
