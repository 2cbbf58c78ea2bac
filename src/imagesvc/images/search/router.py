"""The route of the search."""

import datetime as dt
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from imagesvc.accounts.router import OPTIONAL_BEARER, OptionalCaller
from imagesvc.accounts.service import Caller
from imagesvc.errors import Forbidden, Malformed
from imagesvc.http.pagination import Cursors, CursorsPart, Page, fingerprint, link_next
from imagesvc.http.problems import problems
from imagesvc.http.web_parts import part
from imagesvc.images.image_json import as_json
from imagesvc.images.json_types import ImageOut
from imagesvc.images.search.schemas import ImageSearch
from imagesvc.images.search.service import Search
from imagesvc.images.search.sql import SortPosition

router = APIRouter(tags=["images"])
SearchPart = Annotated[Search, Depends(part(Search))]

PRIVATE = "private, no-cache"


@router.get(
    "/v1/images",
    responses=problems(Forbidden, Malformed),
    response_model=Page[ImageOut],
    openapi_extra=OPTIONAL_BEARER,
)
async def search_images(
    request: Request,
    wanted: Annotated[ImageSearch, Query()],
    caller: OptionalCaller,
    cursors: CursorsPart,
    search: SearchPart,
) -> Response:
    """List the images that you may see, the newest first: public images, your own, for an admin all.

    All filters must match. Filters on members that only the owner sees (place, capture time, camera, origin) search
    your own images only.
    """
    items, next_cursor = await search_page(search, cursors, caller, wanted)
    body = as_json({"items": items, "next_cursor": next_cursor})
    answer = Response(body, headers={"Cache-Control": PRIVATE}, media_type="application/json")
    link_next(request, answer, next_cursor)
    return answer


async def search_page(
    search: Search, cursors: Cursors, caller: Caller | None, wanted: ImageSearch
) -> tuple[list[ImageOut], str | None]:
    """The images of a page, and the cursor of the next one. Raises Unauthenticated, Forbidden, Malformed."""
    query = fingerprint("images", caller.user_id if caller else None, wanted.conditions())
    after = _position(cursors, wanted.cursor, query) if wanted.cursor else None
    found = await search.page(caller, wanted, after=after, rows=wanted.limit + 1)
    shown = found[: wanted.limit]
    next_cursor = None
    if len(found) > wanted.limit:
        last = shown[-1].position
        next_cursor = cursors.encode(query, [last.key, last.id])
    return [image.members for image in shown], next_cursor


def _position(cursors: Cursors, cursor: str, query: bytes) -> SortPosition:
    match cursors.decode(cursor, query):
        case (dt.datetime() | int() as key, UUID() as last):
            return SortPosition(key=key, id=last)
    raise Malformed("The cursor does not belong to this query: start again without it.")
