"""Reads an image, its original and its renditions for a caller, and has missing renditions made."""

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Protocol
from uuid import UUID

from imagesvc.accounts.service import Caller
from imagesvc.db import Database, new_id
from imagesvc.images import queries, reads
from imagesvc.images.errors import ImageNotFound, NoRendition, NoSuchRendition, RenditionNotReady, UploadNotFound
from imagesvc.images.image_json import image_out, receipt_out
from imagesvc.images.json_types import ImageOut, Receipt, UploadWithImage
from imagesvc.processing.contract import EAGER_RENDITIONS, FORMATS, LONG_SIDE
from imagesvc.storage.bucket import ObjectGone
from imagesvc.tasks.completion import CompletionWaiter
from imagesvc.tasks.queue import Queue

MAX_WAIT_SECONDS = 30
RENDITION_WAIT_SECONDS = 20.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredRendition:
    key: str
    sha256: bytes
    bytes: int
    is_public: bool


class RenditionState(Protocol):
    """An image, and one of its renditions: ``key``, ``sha256`` and ``bytes`` are None when it does not exist."""

    @property
    def image_id(self) -> UUID: ...
    @property
    def state(self) -> str: ...
    @property
    def visibility(self) -> str: ...
    @property
    def blob_id(self) -> UUID: ...
    @property
    def key(self) -> str | None: ...
    @property
    def sha256(self) -> bytes | None: ...
    @property
    def bytes(self) -> int | None: ...


class Images:
    def __init__(self, database: Database, queue: Queue, waiting: CompletionWaiter) -> None:
        self._database = database
        self._queue = queue
        self._waiting = waiting

    async def image(self, caller: Caller | None, image_id: UUID, *, wait_seconds: float = 0) -> ImageOut:
        """Return the image as the caller may see it. Waits at most ``wait_seconds`` for processing to end.

        Raises Forbidden and ImageNotFound.
        """
        row = await self._row(caller, image_id)
        if wait_seconds and row.state == "pending":
            await self._waiting.for_image(image_id, seconds=wait_seconds)
            row = await self._row(caller, image_id)
        return image_out(row, is_full=sees_all(caller, row.owner_id))

    async def upload(self, caller: Caller, upload_id: UUID, *, wait_seconds: float = 0) -> UploadWithImage:
        """Return an upload with its image. Raises Forbidden, UploadNotFound and ImageNotFound."""
        caller.require("read")
        row = await self._database.fetch_one_or_none(
            reads.UPLOAD_OF, reads.UploadRow, caller.user_id, caller.is_admin, upload_id
        )
        if row is None:
            raise UploadNotFound
        return {**row.upload, "image": await self.image(caller, row.image_id, wait_seconds=wait_seconds)}

    async def _row(self, caller: Caller | None, image_id: UUID) -> reads.ImageRow:
        row = await self._database.fetch_one_or_none(
            reads.IMAGE_FOR_READER, reads.ImageRow, *reader_of(caller), image_id
        )
        if row is None:
            raise ImageNotFound
        return row

    async def original(self, caller: Caller, image_id: UUID) -> reads.OriginalRow:
        """Return where the original is stored, and what its response headers need. Only for the owner and admins.

        Raises Forbidden, ImageNotFound and ObjectGone.
        """
        caller.require("read")
        row = await self._database.fetch_one_or_none(
            reads.ORIGINAL_OF, reads.OriginalRow, caller.user_id, caller.is_admin, image_id
        )
        if row is None:
            raise ImageNotFound
        if row.object_lost:
            raise ObjectGone("Sending the same file again restores it.")
        return row

    async def rendition(self, caller: Caller | None, image_id: UUID, preset: str, form: str) -> StoredRendition:
        """Return a rendition. If it does not exist yet, a worker makes it first.

        Raises Forbidden, ImageNotFound, NoSuchRendition, NoRendition and RenditionNotReady.
        """
        if preset not in LONG_SIDE or form not in FORMATS:
            raise NoSuchRendition(f"Presets are {', '.join(LONG_SIDE)}; formats are {', '.join(FORMATS)}.")
        arguments = (*reader_of(caller), image_id, preset, form)

        async def look() -> reads.RenditionRow:
            row = await self._database.fetch_one_or_none(reads.RENDITION_FOR_READER, reads.RenditionRow, *arguments)
            if row is None:
                raise ImageNotFound
            return row

        return await self.ensure_rendition(look, preset, form)

    async def ensure_rendition(
        self, look: Callable[[], Awaitable[RenditionState]], preset: str, form: str
    ) -> StoredRendition:
        """Return the rendition that ``look`` finds. If it does not exist yet, have it made and look once more.

        ``look`` checks that the caller may see the image. Raises what ``look`` raises, NoRendition and
        RenditionNotReady.
        """
        for is_last_look in (False, True):
            row = await look()
            if row.key is not None and row.sha256 is not None and row.bytes is not None:
                return StoredRendition(
                    key=row.key, sha256=row.sha256, bytes=row.bytes, is_public=row.visibility == "public"
                )
            if row.state in ("rejected", "failed"):
                raise NoRendition(f"The image is `{row.state}`.")
            if is_last_look:
                break
            if row.state == "pending":
                await self._waiting.for_image(row.image_id, seconds=RENDITION_WAIT_SECONDS)
            if row.state == "ready" or (preset, form) not in EAGER_RENDITIONS:
                await self._make(row.blob_id, preset, form)
        raise RenditionNotReady

    async def _make(self, blob_id: UUID, preset: str, form: str) -> None:
        """Add a task that makes the rendition, unless there is one, and wait for it."""
        dedupe_key = f"rendition:{blob_id}:{preset}:{form}"
        task = await self._database.fetch_one_or_none(
            queries.REQUEST_RENDITION, queries.NewTaskRow, new_id(), blob_id, preset, form, dedupe_key
        )
        if task is not None:
            await self._queue.wake(task.id, is_urgent=True)
        await self._waiting.for_task(dedupe_key, seconds=RENDITION_WAIT_SECONDS)

    async def receipt(self, link_id: UUID, upload_id: UUID, *, link_path: str) -> Receipt:
        """Return the receipt of a file that was uploaded through this link. Raises UploadNotFound."""
        row = await self._database.fetch_one_or_none(reads.RECEIPT, reads.ReceiptRow, link_id, upload_id)
        if row is None:
            raise UploadNotFound
        return receipt_out(row, link_path=link_path)

    async def receipt_thumb(self, link_id: UUID, upload_id: UUID) -> StoredRendition:
        """Return the thumbnail of a file that was uploaded through this link.

        Raises NoSuchRendition, also while the image is being processed.
        """
        row = await self._database.fetch_one_or_none(reads.RECEIPT_THUMB, reads.ThumbRow, link_id, upload_id)
        if row is None:
            raise NoSuchRendition
        return StoredRendition(key=row.key, sha256=row.sha256, bytes=row.bytes, is_public=False)


def sees_all(caller: Caller | None, owner_id: UUID) -> bool:
    """Whether the caller sees all members of an owner's images, and not only the public view."""
    return caller is not None and (caller.is_admin or caller.user_id == owner_id) and "read" in caller.scopes


def reader_of(caller: Caller | None) -> tuple[UUID | None, bool]:
    """Return the arguments $1 and $2 of the reads: the caller's id, and whether an admin.

    Raises Forbidden for a credential without the scope `read`.
    """
    if caller is None:
        return None, False
    caller.require("read")
    return caller.user_id, caller.is_admin
