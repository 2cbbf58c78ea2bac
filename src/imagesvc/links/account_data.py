"""Removes the links of an account, with the contents that they have charged."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.accounts.account_data import AccountData, Removed, rows_of

MAX_LINKS = 50

LOCK_LINKS = text("SELECT id FROM links WHERE owner_id = :user ORDER BY id LIMIT :max FOR UPDATE")
# Keys of uploads in progress stay held until their writer or the reaper releases them.
DROP_RESERVATIONS = text("""
    UPDATE loose_objects SET link_id = NULL, reserved_files = 0, reserved_bytes = 0 WHERE link_id = ANY(:links)
""")
DELETE_LINKS = text("DELETE FROM links WHERE id = ANY(:links)")


async def _remove_links(session: AsyncSession, user_id: UUID) -> Removed:
    locked = (await session.execute(LOCK_LINKS, {"user": user_id, "max": MAX_LINKS})).scalars().all()
    await session.execute(DROP_RESERVATIONS, {"links": list(locked)})
    await session.execute(DELETE_LINKS, {"links": list(locked)})
    return Removed(has_more=bool(locked))


ACCOUNT_DATA = (
    rows_of(
        "link_contents",
        "DELETE FROM link_contents WHERE (link_id, sha256) IN (SELECT c.link_id, c.sha256 FROM link_contents c"
        " JOIN links l ON l.id = c.link_id WHERE l.owner_id = :user LIMIT :max)",
    ),
    AccountData(tables=("links", "loose_objects"), remove=_remove_links),
)
