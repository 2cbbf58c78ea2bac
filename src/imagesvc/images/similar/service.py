"""Which images look like this one."""

from uuid import UUID

from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.images.errors import ImageNotFound
from imagesvc.images.image_json import image_out
from imagesvc.images.reads import image_row
from imagesvc.images.service import reader_of, sees_all
from imagesvc.images.similar import queries
from imagesvc.images.similar.schemas import SimilarImage
from imagesvc.processing.hash_bands import band_neighbours


class Similar:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def to(self, caller: Caller | None, image_id: UUID, *, max_distance: int) -> list[SimilarImage]:
        """At most 12, the nearest first; none for a picture that has no hash. Raises Forbidden, ImageNotFound."""
        reader = reader_of(caller)
        image = await self._database.fetch_row(queries.HASH_FOR_READER, *reader, image_id)
        if image is None:
            raise ImageNotFound
        if image["hash"] is None:
            return []
        bands = band_neighbours(image["hash"] & (2**64 - 1), max_distance=max_distance)
        found = await self._database.fetch_rows(queries.SIMILAR, *reader, image_id, image["hash"], max_distance, *bands)
        return [
            {**image_out(image_row(row), is_full=sees_all(caller, row["owner_id"])), "distance": row["distance"]}
            for row in found
        ]
