"""Search: a page of the images that somebody may see."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.errors import Unauthenticated
from imagesvc.images.image_json import image_out
from imagesvc.images.json_types import ImageOut
from imagesvc.images.reads import image_row
from imagesvc.images.search.schemas import ME, ImageSearch
from imagesvc.images.search.sql import After, Statement, Way, has_order
from imagesvc.images.search.visibility import Lane, lanes_of
from imagesvc.images.service import sees_all

MAX_LOOKED = 4000
"""How many of the first images are looked through before what matches is gathered by an index: reading so many takes a
few milliseconds, and what one image in eighty matches is found among them."""

Found = tuple[After, ImageOut]
"""An image as the caller may see it, and its place in the list."""


class Search:
    def __init__(self, database: Database, *, max_looked: int = MAX_LOOKED) -> None:
        self._database = database
        self._max_looked = max_looked

    async def page(
        self, caller: Caller | None, wanted: ImageSearch, *, after: After | None, rows: int
    ) -> Sequence[Found]:
        """Raises Unauthenticated for ``owner=me`` without a credential, Forbidden."""
        if caller is not None:
            caller.require("read")
        elif wanted.owner == ME:
            raise Unauthenticated("`owner=me` needs a credential: send `Authorization: Bearer <token>`.")
        lanes = lanes_of(caller, wanted)
        if not lanes:
            return []

        async def look(way: Way) -> Sequence[Any]:
            return await self._rows(way, caller, wanted, lanes, after=after, rows=rows)

        if has_order(wanted):
            found = await look("list")
        else:
            found = await look("look")
            if len(found) < rows and found[0]["looked"] == self._max_looked:
                found = await look("gather")
        return [
            (After(key=row["key"], id=row["id"]), image_out(image_row(row), is_full=sees_all(caller, row["owner_id"])))
            for row in found
            if row["id"] is not None
        ]

    async def _rows(
        self,
        way: Way,
        caller: Caller | None,
        wanted: ImageSearch,
        lanes: Sequence[Lane],
        *,
        after: After | None,
        rows: int,
    ) -> Sequence[Any]:
        """At least one, which is empty when nothing was found."""
        caller_id: UUID | None = caller.user_id if caller else None
        is_admin = caller is not None and caller.is_admin
        statement = Statement(
            way,
            wanted,
            lanes,
            caller_id=caller_id,
            is_admin=is_admin,
            after=after,
            rows=rows,
            max_looked=self._max_looked,
        )
        return await self._database.fetch_rows_custom_plan(statement.text, *statement.arguments)
