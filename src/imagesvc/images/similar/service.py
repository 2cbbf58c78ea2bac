"""Finds the near-duplicates of an image."""

from uuid import UUID

from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.images.errors import ImageNotFound
from imagesvc.images.image_json import image_out
from imagesvc.images.service import reader_of, sees_all
from imagesvc.images.similar import queries
from imagesvc.images.similar.queries import HashRow
from imagesvc.images.similar.schemas import SimilarImage
from imagesvc.processing.hash_bands import band_neighbours


class Similar:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, caller: Caller | None, image_id: UUID, *, max_distance: int) -> list[SimilarImage]:
        """Up to 12 images, the nearest first; none if the image has no hash.

        ``max_distance`` is the number of bits of the hash that may differ. Raises Forbidden, ImageNotFound.
        """
        reader = reader_of(caller)
        row = await self._database.fetch_one_or_none(queries.HASH_FOR_READER, HashRow, *reader, image_id)
        if row is None:
            raise ImageNotFound
        if row.hash is None:
            return []
        bands = band_neighbours(row.hash & (2**64 - 1), max_distance=max_distance)
        arguments = (*reader, image_id, row.hash, max_distance, *bands)
        found = queries.similar_rows(await self._database.fetch_rows(queries.SIMILAR, *arguments))
        return [
            {**image_out(near.image, is_full=sees_all(caller, near.image.owner_id)), "distance": near.distance}
            for near in found
        ]
