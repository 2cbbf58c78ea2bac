"""Changes or deletes an image, on the condition that it is still what the caller has read.

The condition (``If-Match``) contains the entity tag of ``GET /v1/images/{id}``: a hash of the whole JSON, so any change
of the JSON since then fails the condition. The tag is compared with a read. The change itself then requires the row's
version of that read, so a concurrent change between the two is noticed, and the tag is compared again.
"""

from collections.abc import Collection, Mapping
from uuid import UUID

from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.errors import PreconditionFailed
from imagesvc.http.conditional import require_match
from imagesvc.images import queries, reads
from imagesvc.images.errors import ImageNotFound
from imagesvc.images.image_json import as_json, etag_of, image_out
from imagesvc.images.json_types import ImageOut
from imagesvc.images.models import Visibility
from imagesvc.images.schemas import ImageChanges
from imagesvc.images.service import Images
from imagesvc.storage import loose_objects

MAX_ROUNDS = 5
"""How often the condition is checked when the row changes between the read and the change."""


class ImageEditing:
    def __init__(self, database: Database, images: Images) -> None:
        self._database = database
        self._images = images

    async def change(
        self, caller: Caller, image_id: UUID, changes: ImageChanges, headers: Mapping[str, str]
    ) -> ImageOut:
        """Change an image and return the changed image. Raises Forbidden, ImageNotFound and PreconditionFailed."""
        caller.require("upload")
        caller.require("read")
        for _ in range(MAX_ROUNDS):
            version = await self._matching_version(caller, image_id, headers)
            arguments = (caller.user_id, caller.is_admin, image_id, version, changes.members())
            if await self._database.fetch_one_or_none(queries.CHANGE_IMAGE, queries.ChangedImage, *arguments):
                return await self._images.image(caller, image_id)
            if version is None:
                raise ImageNotFound
        raise PreconditionFailed

    async def delete(self, caller: Caller, image_id: UUID, headers: Mapping[str, str]) -> None:
        """Delete an image with its uploads and shares, and the blob if this was its last reference.

        Raises Forbidden, ImageNotFound and PreconditionFailed.
        """
        caller.require("upload")
        for _ in range(MAX_ROUNDS):
            version = await self._matching_version(caller, image_id, headers)
            if await self._delete(caller, image_id, version=version):
                return
        raise PreconditionFailed

    async def set_visibility(self, caller: Caller, image_ids: Collection[UUID], visibility: Visibility) -> None:
        """Publish or hide those of the images that the caller may change. Raises Forbidden."""
        caller.require("upload")
        arguments = (caller.user_id, caller.is_admin, list(image_ids), visibility)
        await self._database.fetch_all(queries.SET_VISIBILITY, queries.ChangedImage, *arguments)

    async def delete_some(self, caller: Caller, image_ids: Collection[UUID]) -> None:
        """Delete those of the images that the caller may delete, in one transaction. Raises Forbidden."""
        caller.require("upload")
        async with self._database.sessions.begin() as session:
            found, blob_ids = await queries.lock_images_of_caller(session, caller, image_ids)
            await queries.delete_images(session, found)
            await loose_objects.disown(session, await queries.delete_unreferenced_blobs(session, blob_ids))

    async def _delete(self, caller: Caller, image_id: UUID, *, version: str | None) -> bool:
        """Return False when the image has another version meanwhile."""
        async with self._database.sessions.begin() as session:
            blob_id = await queries.blob_of_image(session, caller, image_id)
            if blob_id is None or await queries.lock_blob(session, blob_id) is None:
                raise ImageNotFound
            if await queries.lock_image(session, image_id) is None:
                raise ImageNotFound
            if version is not None and await queries.version_of_image(session, image_id) != version:
                return False
            await queries.delete_images(session, [image_id])
            await loose_objects.disown(session, await queries.delete_unreferenced_blobs(session, [blob_id]))
        return True

    async def _matching_version(self, caller: Caller, image_id: UUID, headers: Mapping[str, str]) -> str | None:
        """Return the version that fulfills the condition, None without a condition.

        Raises ImageNotFound and PreconditionFailed.
        """
        if "if-match" not in headers:
            return None
        row = await self._database.fetch_one_or_none(
            reads.IMAGE_FOR_READER, reads.ImageRow, caller.user_id, caller.is_admin, image_id
        )
        if row is None or not (caller.is_admin or row.owner_id == caller.user_id):
            raise ImageNotFound
        require_match(headers, etag_of(as_json(image_out(row, is_full=True))))
        return row.version
