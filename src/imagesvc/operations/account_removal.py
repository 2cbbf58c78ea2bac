"""Removes all that a deleted account had, and its row at the end: a task, in transactions of bounded size.

Images go as every deleted image does: their files become loose objects, unless others have the same content. What is
still under way when the account ends (a request that was let in before) either finds its owner gone, or is found here
by another round. Each step can be repeated.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from imagesvc.db import Database
from imagesvc.images import queries as images
from imagesvc.resizes import queries as resizes
from imagesvc.settings import Settings
from imagesvc.storage import loose_objects
from imagesvc.tasks import leases
from imagesvc.tasks.leases import Lease
from imagesvc.tasks.runner import TryLater

KIND = "remove_account"
IMAGES_AT_ONCE = 50
ROWS_AT_ONCE = 1000

# the expiry of resumable uploads ends them as it ends others: keys let go, reservations given back
EXPIRE_RESUMABLE = text("""
    UPDATE resumable_uploads SET expires_at = now()
    WHERE owner_id = :user AND state = 'receiving' AND expires_at > now()
""")
UNFINISHED = text(
    "SELECT count(*) FROM resumable_uploads WHERE owner_id = :user AND state IN ('receiving', 'finishing')"
)

# one that is under way ends by itself; should it begin anew, it finds its owner disabled
DELETE_DOWNLOADS = (
    "DELETE FROM tasks WHERE id IN (SELECT t.id FROM tasks t JOIN jobs j ON j.id = t.turn_of"
    " WHERE j.owner_id = :user AND t.state <> 'running' LIMIT :most)"
)
DOWNLOADING = text("SELECT count(*) FROM tasks t JOIN jobs j ON j.id = t.turn_of WHERE j.owner_id = :user")

ROWS: Sequence[str] = (
    "DELETE FROM visit_images WHERE id IN (SELECT i.id FROM visit_images i JOIN visits v ON v.id = i.visit_id"
    " JOIN jobs j ON j.id = v.job_id WHERE j.owner_id = :user LIMIT :most)",
    "DELETE FROM visits WHERE id IN (SELECT v.id FROM visits v JOIN jobs j ON j.id = v.job_id"
    " WHERE j.owner_id = :user LIMIT :most)",
    "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE owner_id = :user LIMIT :most)",
    "DELETE FROM resumable_uploads WHERE id IN (SELECT id FROM resumable_uploads"
    " WHERE owner_id = :user AND state IN ('done', 'refused') LIMIT :most)",
    "DELETE FROM webhook_deliveries WHERE id IN (SELECT d.id FROM webhook_deliveries d"
    " JOIN webhooks w ON w.id = d.webhook_id WHERE w.owner_id = :user LIMIT :most)",
    "DELETE FROM tasks WHERE id IN (SELECT t.id FROM tasks t JOIN webhooks w ON w.id = t.turn_of"
    " WHERE w.owner_id = :user AND t.state <> 'running' LIMIT :most)",
    "DELETE FROM webhooks WHERE id IN (SELECT id FROM webhooks WHERE owner_id = :user LIMIT :most)",
    "DELETE FROM idempotency_keys WHERE (caller_id, key_sha256) IN"
    " (SELECT caller_id, key_sha256 FROM idempotency_keys WHERE caller_id = :user LIMIT :most)",
    "DELETE FROM api_keys WHERE id IN (SELECT id FROM api_keys WHERE owner_id = :user LIMIT :most)",
    "DELETE FROM batches WHERE id IN (SELECT id FROM batches WHERE owner_id = :user LIMIT :most)",
    "DELETE FROM link_contents WHERE (link_id, sha256) IN (SELECT c.link_id, c.sha256 FROM link_contents c"
    " JOIN links l ON l.id = c.link_id WHERE l.owner_id = :user LIMIT :most)",
)
"""What else belongs to an account, in an order that foreign keys allow; each is repeated until nothing is left."""

LOCK_LINKS = text("SELECT id FROM links WHERE owner_id = :user ORDER BY id LIMIT :most FOR UPDATE")
# keys that were on their way in through these links stay held until their writer or the reaper ends them
FORGET_RESERVATIONS = text("""
    UPDATE loose_objects SET link_id = NULL, reserved_files = 0, reserved_bytes = 0 WHERE link_id = ANY(:links)
""")
DELETE_LINKS = text("DELETE FROM links WHERE id = ANY(:links)")

# looking for references that no index leads to may take its time: nobody waits for this row
PATIENCE = text("SET LOCAL statement_timeout = '10min'")
DELETE_USER = text("DELETE FROM users WHERE id = :user AND deleted_at IS NOT NULL")


def dedupe_key(user_id: UUID) -> str:
    return f"{KIND}:{user_id}"


class Removal:
    def __init__(self, settings: Settings, database: Database) -> None:
        self._lease_seconds = settings.task_lease_seconds
        self._sessions = database.sessions

    async def remove(self, lease: Lease) -> None:
        """The task's handler. Raises TryLater while something of the account is under way."""
        user_id = UUID(lease.payload["user_id"])
        try:
            await self._end_downloads(lease, user_id)
            while await self._remove_images(lease, user_id):
                pass
            while await self._remove_resizes(lease, user_id):
                pass
            await self._end_resumables(user_id)
            for statement in ROWS:
                while await self._remove_rows(lease, user_id, statement):
                    pass
            while await self._remove_links(lease, user_id):
                pass
            await self._remove_user(lease, user_id)
        except IntegrityError as error:
            raise TryLater("account-in-use") from error

    async def _remove_images(self, lease: Lease, user_id: UUID) -> bool:
        async with self._sessions.begin() as session:
            image_ids, blob_ids = await images.lock_some_images_of(session, user_id, most=IMAGES_AT_ONCE)
            await images.delete_images(session, image_ids)
            keys = await images.delete_blobs_nobody_needs(session, blob_ids)
            await leases.renew(session, lease, seconds=self._lease_seconds)
            await loose_objects.let_go(session, keys)
        return bool(blob_ids)

    async def _remove_resizes(self, lease: Lease, user_id: UUID) -> bool:
        async with self._sessions.begin() as session:
            count, keys = await resizes.delete_some_of(session, user_id, most=IMAGES_AT_ONCE)
            await leases.renew(session, lease, seconds=self._lease_seconds)
            await loose_objects.let_go(session, keys)
        return bool(count)

    async def _end_downloads(self, lease: Lease, user_id: UUID) -> None:
        while await self._remove_rows(lease, user_id, DELETE_DOWNLOADS):
            pass
        async with self._sessions() as session:
            under_way = (await session.execute(DOWNLOADING, {"user": user_id})).scalar_one()
        if under_way:
            raise TryLater("downloads-under-way", counts=False)

    async def _end_resumables(self, user_id: UUID) -> None:
        async with self._sessions.begin() as session:
            await session.execute(EXPIRE_RESUMABLE, {"user": user_id})
            unfinished = (await session.execute(UNFINISHED, {"user": user_id})).scalar_one()
        if unfinished:
            raise TryLater("uploads-under-way", counts=False)

    async def _remove_rows(self, lease: Lease, user_id: UUID, statement: str) -> bool:
        async with self._sessions.begin() as session:
            gone = await session.execute(text(f"{statement} RETURNING 1"), {"user": user_id, "most": ROWS_AT_ONCE})
            count = len(gone.all())
            await leases.renew(session, lease, seconds=self._lease_seconds)
        return count == ROWS_AT_ONCE

    async def _remove_links(self, lease: Lease, user_id: UUID) -> bool:
        async with self._sessions.begin() as session:
            locked = (await session.execute(LOCK_LINKS, {"user": user_id, "most": IMAGES_AT_ONCE})).scalars().all()
            await leases.renew(session, lease, seconds=self._lease_seconds)
            await session.execute(FORGET_RESERVATIONS, {"links": list(locked)})
            await session.execute(DELETE_LINKS, {"links": list(locked)})
        return bool(locked)

    async def _remove_user(self, lease: Lease, user_id: UUID) -> None:
        async with self._sessions.begin() as session:
            await session.execute(PATIENCE)
            await session.execute(DELETE_USER, {"user": user_id})
            await leases.finish(session, lease)
