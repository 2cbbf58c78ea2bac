"""Change an image or delete it, on the condition that it still is what the caller has read.

The condition (``If-Match``) names the tag that ``GET /v1/images/{id}`` gave: a hash of the whole answer, so whatever
was told then and is different now fails it. It is judged on a read; the row's version in that read then has to be the
one that is changed, so nothing slips in between.
"""

from collections.abc import Mapping
from uuid import UUID

from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.errors import PreconditionFailed
from imagesvc.http.conditional import require_match
from imagesvc.images import queries
from imagesvc.images.errors import ImageNotFound
from imagesvc.images.schemas import ImageChanges, as_json, etag_of, image_out
from imagesvc.images.service import Images
from imagesvc.storage import loose_objects

ROUNDS = 5
"""How often the condition is judged anew when the row changes between the look and the change."""


class ImageEditing:
    def __init__(self, database: Database, images: Images) -> None:
        self._database = database
        self._images = images

    async def change(
        self, caller: Caller, image_id: UUID, changes: ImageChanges, headers: Mapping[str, str]
    ) -> dict[str, object]:
        """The image as it is afterwards. Raises Forbidden, ImageNotFound, PreconditionFailed."""
        caller.require("upload")
        caller.require("read")
        for _ in range(ROUNDS):
            version = await self._version_that_matches(caller, image_id, headers)
            changed = await self._database.fetch_row(
                queries.CHANGE_IMAGE, caller.user_id, caller.is_admin, image_id, version, changes.members()
            )
            if changed is not None:
                return await self._images.image(caller, image_id)
            if version is None:
                raise ImageNotFound
        raise PreconditionFailed

    async def delete(self, caller: Caller, image_id: UUID, headers: Mapping[str, str]) -> None:
        """Delete an image with its uploads and shares; the last reference takes the blob along.

        Raises Forbidden, ImageNotFound, PreconditionFailed.
        """
        caller.require("upload")
        for _ in range(ROUNDS):
            version = await self._version_that_matches(caller, image_id, headers)
            if await self._delete(caller, image_id, version=version):
                return
        raise PreconditionFailed

    async def _delete(self, caller: Caller, image_id: UUID, *, version: str | None) -> bool:
        """False when the image has another version by now."""
        async with self._database.sessions.begin() as session:
            blob_id = await queries.blob_of_image(session, caller, image_id)
            if blob_id is None or await queries.lock_blob(session, blob_id) is None:
                raise ImageNotFound
            if await queries.lock_image(session, image_id) is None:
                raise ImageNotFound
            if version is not None and await queries.version_of_image(session, image_id) != version:
                return False
            await queries.delete_images(session, [image_id])
            await loose_objects.disown(session, await queries.delete_blobs_nobody_needs(session, [blob_id]))
        return True

    async def _version_that_matches(self, caller: Caller, image_id: UUID, headers: Mapping[str, str]) -> str | None:
        """None when there is no condition. Raises ImageNotFound, PreconditionFailed."""
        if "if-match" not in headers:
            return None
        row = await self._database.fetch_row(queries.IMAGE_FOR_READER, caller.user_id, caller.is_admin, image_id)
        if row is None or not (caller.is_admin or row["owner_id"] == caller.user_id):
            raise ImageNotFound
        require_match(headers, etag_of(as_json(image_out(row, is_full=True))))
        return str(row["version"])
