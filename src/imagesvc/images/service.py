"""Read an image, its original and its renditions."""

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from imagesvc.accounts.service import Caller
from imagesvc.db import Database, new_id
from imagesvc.images import queries
from imagesvc.images.errors import ImageNotFound, NoRendition, NoSuchRendition, RenditionNotReady, UploadNotFound
from imagesvc.images.schemas import Row, image_out, moment, upload_out
from imagesvc.processing.contract import EAGER_RENDITIONS, LONG_SIDE
from imagesvc.storage.bucket import ObjectGone
from imagesvc.tasks.completion import CompletionWaiter
from imagesvc.tasks.queue import Queue

FORMATS = ("webp", "jpg", "avif")
MAX_WAIT_SECONDS = 30
RENDITION_WAIT_SECONDS = 20.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredRendition:
    key: str
    sha256: bytes
    bytes: int
    is_public: bool


class Images:
    def __init__(self, database: Database, queue: Queue, waiting: CompletionWaiter) -> None:
        self._database = database
        self._queue = queue
        self._waiting = waiting

    async def image(self, caller: Caller | None, image_id: UUID, *, wait_seconds: float = 0) -> dict[str, Any]:
        """The image as this caller may see it, once it is processed or the wait is over. Raises ImageNotFound."""
        row = await self._row(caller, image_id)
        if wait_seconds and row["state"] == "pending":
            await self._waiting.for_image(image_id, seconds=wait_seconds)
            row = await self._row(caller, image_id)
        return image_out(row, is_full=sees_all(caller, row["owner_id"]))

    async def upload(self, caller: Caller, upload_id: UUID, *, wait_seconds: float = 0) -> dict[str, Any]:
        """An upload with its image in it. Raises UploadNotFound."""
        caller.require("read")
        row = await self._database.fetch_row(queries.UPLOAD_OF, caller.user_id, caller.is_admin, upload_id)
        if row is None:
            raise UploadNotFound
        return upload_out(row) | {"image": await self.image(caller, row["image_id"], wait_seconds=wait_seconds)}

    async def _row(self, caller: Caller | None, image_id: UUID) -> Row:
        row: Row | None = await self._database.fetch_row(queries.IMAGE_FOR_READER, *reader_of(caller), image_id)
        if row is None:
            raise ImageNotFound
        return row

    async def original(self, caller: Caller, image_id: UUID) -> Row:
        """Key, hash, size, type and a name to save it under. Only for the owner and admins.

        Raises ImageNotFound, ObjectGone.
        """
        caller.require("read")
        row: Row | None = await self._database.fetch_row(queries.ORIGINAL_OF, caller.user_id, caller.is_admin, image_id)
        if row is None:
            raise ImageNotFound
        if row["object_lost"]:
            raise ObjectGone("Sending the same file again brings it back.")
        return row

    async def rendition(self, caller: Caller | None, image_id: UUID, preset: str, form: str) -> StoredRendition:
        """A rendition; one that is not there yet is made by a worker and waited for.

        Raises ImageNotFound, NoSuchRendition, NoRendition, RenditionNotReady.
        """
        if preset not in LONG_SIDE or form not in FORMATS:
            raise NoSuchRendition(f"Presets are {', '.join(LONG_SIDE)}; formats are {', '.join(FORMATS)}.")

        async def look() -> Row:
            row: Row | None = await self._database.fetch_row(
                queries.RENDITION_FOR_READER, *reader_of(caller), image_id, preset, form
            )
            if row is None:
                raise ImageNotFound
            return row

        return await self.made(look, preset, form)

    async def made(self, look: Callable[[], Awaitable[Row]], preset: str, form: str) -> StoredRendition:
        """The rendition that ``look`` finds for somebody who may see it, made and waited for when it is not there yet.

        Raises what ``look`` raises, NoRendition, RenditionNotReady.
        """
        for is_last_look in (False, True):
            row = await look()
            if row["key"] is not None:
                return StoredRendition(
                    key=row["key"],
                    sha256=row["sha256"],
                    bytes=row["bytes"],
                    is_public=row["visibility"] == "public",
                )
            if row["state"] in ("rejected", "failed"):
                raise NoRendition(f"The image is `{row['state']}`.")
            if is_last_look:
                break
            if row["state"] == "pending":
                await self._waiting.for_image(row["image_id"], seconds=RENDITION_WAIT_SECONDS)
            if row["state"] == "ready" or (preset, form) not in EAGER_RENDITIONS:
                await self._ask_for(row["blob_id"], preset, form)
        raise RenditionNotReady

    async def _ask_for(self, blob_id: UUID, preset: str, form: str) -> None:
        dedupe_key = f"rendition:{blob_id}:{preset}:{form}"
        row = await self._database.fetch_row(queries.ASK_FOR_RENDITION, new_id(), blob_id, preset, form, dedupe_key)
        if row is not None:
            await self._queue.wake(row["id"], is_urgent=True)
        await self._waiting.for_task(dedupe_key, seconds=RENDITION_WAIT_SECONDS)

    async def receipt(self, link_id: UUID, upload_id: UUID, *, link_path: str) -> dict[str, Any]:
        """How a file fared that came through this link. Raises UploadNotFound."""
        row = await self._database.fetch_row(queries.RECEIPT, link_id, upload_id)
        if row is None:
            raise UploadNotFound
        score = row["score"] or {}
        is_ready = row["state"] == "ready"
        return {
            "id": str(row["id"]),
            "filename": row["filename"],
            "bytes": row["bytes"],
            "received_at": moment(row["received_at"]),
            "duplicate": row["duplicate"],
            "state": row["state"],
            "problem": row["problem"],
            "defects": score.get("defects", []),
            "hint": score.get("hint"),
            "thumbnail_url": f"{link_path}/uploads/{row['id']}/thumb.webp" if is_ready else None,
        }

    async def receipt_thumb(self, link_id: UUID, upload_id: UUID) -> StoredRendition:
        """The thumbnail for who sent the file through this link. Raises NoSuchRendition until it is there."""
        row = await self._database.fetch_row(queries.RECEIPT_THUMB, link_id, upload_id)
        if row is None:
            raise NoSuchRendition
        return StoredRendition(key=row["key"], sha256=row["sha256"], bytes=row["bytes"], is_public=False)


def sees_all(caller: Caller | None, owner_id: UUID) -> bool:
    return caller is not None and (caller.is_admin or caller.user_id == owner_id) and "read" in caller.scopes


def reader_of(caller: Caller | None) -> tuple[UUID | None, bool]:
    """What statements take: the id, and whether an admin. Raises Forbidden for a credential that may not read."""
    if caller is None:
        return None, False
    caller.require("read")
    return caller.user_id, caller.is_admin
