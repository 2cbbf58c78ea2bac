"""Searches the images that a caller may see, with the plan that fits the filters."""

import dataclasses
from collections.abc import Sequence

from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.errors import Unauthenticated
from imagesvc.images.image_json import image_out
from imagesvc.images.json_types import ImageOut
from imagesvc.images.search.schemas import ME, ImageSearch
from imagesvc.images.search.sql import Plan, SearchResult, SearchStatement, SortPosition, has_ordered_plan
from imagesvc.images.search.visibility import VisibleSet, visible_sets
from imagesvc.images.service import sees_all

MAX_SCANNED = 4000
"""Number of images that the plan ``scan`` tests. That takes a few milliseconds, and fills a page of 50 if one image in
eighty matches."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FoundImage:
    """An image as the caller may see it."""

    position: SortPosition
    members: ImageOut


class Search:
    def __init__(self, database: Database, *, max_scanned: int = MAX_SCANNED) -> None:
        self._database = database
        self._max_scanned = max_scanned

    async def page(
        self, caller: Caller | None, wanted: ImageSearch, *, after: SortPosition | None, rows: int
    ) -> Sequence[FoundImage]:
        """Raises Unauthenticated for ``owner=me`` without a credential, Forbidden."""
        if caller is not None:
            caller.require("read")
        elif wanted.owner == ME:
            raise Unauthenticated("`owner=me` requires a credential: send `Authorization: Bearer <token>`.")
        sets = visible_sets(caller, wanted)
        if not sets:
            return []

        async def result_of(plan: Plan) -> SearchResult:
            return await self._run(plan, caller, wanted, sets, after=after, rows=rows)

        if has_ordered_plan(wanted):
            found = await result_of("ordered")
        else:
            found = await result_of("scan")
            is_list_longer = found.scanned == self._max_scanned
            if len(found.matches) < rows and is_list_longer:
                found = await result_of("collect")
        return [
            FoundImage(
                position=match.position, members=image_out(match.image, is_full=sees_all(caller, match.image.owner_id))
            )
            for match in found.matches
        ]

    async def _run(
        self,
        plan: Plan,
        caller: Caller | None,
        wanted: ImageSearch,
        sets: Sequence[VisibleSet],
        *,
        after: SortPosition | None,
        rows: int,
    ) -> SearchResult:
        statement = SearchStatement(
            plan,
            wanted,
            sets,
            caller_id=caller.user_id if caller else None,
            is_admin=caller is not None and caller.is_admin,
            after=after,
            rows=rows,
            max_scanned=self._max_scanned,
        )
        return SearchResult.of(await self._database.fetch_rows_custom_plan(statement.text, *statement.arguments))
