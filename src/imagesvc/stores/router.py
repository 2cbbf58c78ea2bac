"""Routes: the store master."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from imagesvc.accounts.router import CurrentCaller, needs_bearer
from imagesvc.errors import Forbidden, Malformed
from imagesvc.http.pagination import Cursors, Page, fingerprint, link_next
from imagesvc.http.problems import problems
from imagesvc.http.request_context import accept_large_body
from imagesvc.http.slow_clients import UploadStalled
from imagesvc.stores.errors import NotAStoreFile, NotCsv, StoreFileTooLarge, StoreNotFound
from imagesvc.stores.schemas import CSV_BODY, Imported, NewStore, StoreOut, Text
from imagesvc.stores.service import Stores
from imagesvc.uploads.router import pace_of

router = APIRouter(prefix="/v1/stores", tags=["visits"], dependencies=[needs_bearer])

StoreId = Annotated[Text, Path(description="the store's id")]


@router.post(
    "/import",
    responses=problems(Forbidden, NotCsv, NotAStoreFile, StoreFileTooLarge, UploadStalled),
    openapi_extra=CSV_BODY,
)
async def import_stores(request: Request, caller: CurrentCaller) -> Imported:
    """Add and change many stores. Bad rows are told by their line and do not stop the others. Admins only."""
    stores: Stores = request.app.state.stores
    caller.require("admin")
    kind = request.headers.get("content-type", "text/csv").partition(";")[0].strip().lower()
    if kind != "text/csv":
        raise NotCsv("Send `Content-Type: text/csv`.")
    accept_large_body(request)
    return await stores.import_csv(caller, pace_of(request))


@router.put(
    "/{store_id}",
    status_code=201,
    responses={
        201: {"description": "The store is new."},
        200: {"model": StoreOut, "description": "It was known, and is as told now."},
        **problems(Forbidden),
    },
)
async def put_store(
    request: Request, response: Response, store_id: StoreId, body: NewStore, caller: CurrentCaller
) -> StoreOut:
    """Add a store, or replace what is known of it. Admins only."""
    stores: Stores = request.app.state.stores
    store, is_new = await stores.put(caller, store_id, body)
    response.status_code = 201 if is_new else 200
    return StoreOut.of(store)


@router.get("/{store_id}", responses=problems(Forbidden, StoreNotFound))
async def get_store(request: Request, store_id: StoreId, caller: CurrentCaller) -> StoreOut:
    """One store."""
    stores: Stores = request.app.state.stores
    return StoreOut.of(await stores.get(caller, store_id))


@router.get("", responses=problems(Forbidden, Malformed))
async def list_stores(
    request: Request,
    response: Response,
    caller: CurrentCaller,
    area: Annotated[Text | None, Query(description="only those of this area")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
) -> Page[StoreOut]:
    """All stores, by their ids."""
    stores: Stores = request.app.state.stores
    cursors: Cursors = request.app.state.cursors
    query = fingerprint("stores", caller.user_id, {"area": area})
    after = cursors.decode(cursor, query)[0] if cursor else None
    found = await stores.page(caller, area=area, after=after if isinstance(after, str) else None, limit=limit + 1)
    shown = found[:limit]
    next_cursor = cursors.encode(query, [shown[-1].id]) if len(found) > limit else None
    link_next(request, response, next_cursor)
    return Page(items=[StoreOut.of(store) for store in shown], next_cursor=next_cursor)
