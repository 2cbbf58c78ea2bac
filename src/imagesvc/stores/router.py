"""Routes of the store master."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from imagesvc.accounts.router import CurrentCaller, needs_bearer
from imagesvc.errors import Forbidden, Malformed
from imagesvc.http.pagination import Page, PagingPart
from imagesvc.http.problems import problems
from imagesvc.http.request_context import accept_large_body
from imagesvc.http.slow_clients import UploadStalled, timed_body
from imagesvc.http.web_parts import part
from imagesvc.stores.errors import NotAStoreFile, NotCsv, StoreFileTooLarge, StoreNotFound
from imagesvc.stores.models import Store
from imagesvc.stores.schemas import CSV_BODY, Imported, NewStore, StoreOut, Text
from imagesvc.stores.service import Stores

router = APIRouter(prefix="/v1/stores", tags=["visits"], dependencies=[needs_bearer])
StoresPart = Annotated[Stores, Depends(part(Stores))]

StoreId = Annotated[Text, Path(description="the store's id")]


@router.post(
    "/import",
    responses=problems(Forbidden, NotCsv, NotAStoreFile, StoreFileTooLarge, UploadStalled),
    openapi_extra=CSV_BODY,
)
async def import_stores(request: Request, caller: CurrentCaller, stores: StoresPart) -> Imported:
    """Add and change many stores. Invalid rows are reported by line and do not affect the others. Admins only."""
    caller.require("admin")
    kind = request.headers.get("content-type", "text/csv").partition(";")[0].strip().lower()
    if kind != "text/csv":
        raise NotCsv("Send `Content-Type: text/csv`.")
    accept_large_body(request)
    return await stores.import_csv(caller, timed_body(request))


@router.put(
    "/{store_id}",
    status_code=201,
    responses={
        201: {"description": "The store is new."},
        200: {"model": StoreOut, "description": "The store existed and is replaced."},
        **problems(Forbidden),
    },
)
async def put_store(
    request: Request, response: Response, store_id: StoreId, body: NewStore, caller: CurrentCaller, stores: StoresPart
) -> StoreOut:
    """Add or replace a store. Admins only."""
    store, is_new = await stores.put(caller, store_id, body)
    response.status_code = 201 if is_new else 200
    return StoreOut.of(store)


@router.get("/{store_id}", responses=problems(Forbidden, StoreNotFound))
async def get_store(request: Request, store_id: StoreId, caller: CurrentCaller, stores: StoresPart) -> StoreOut:
    """A store."""
    return StoreOut.of(await stores.get(caller, store_id))


@router.get("", responses=problems(Forbidden, Malformed))
async def list_stores(
    caller: CurrentCaller,
    stores: StoresPart,
    paging: PagingPart,
    area: Annotated[Text | None, Query(description="only stores of this area")] = None,
) -> Page[StoreOut]:
    """All stores, in the order of their ids."""

    async def rows(last: str | None, limit: int) -> Sequence[Store]:
        return await stores.page(caller, area=area, after=last, limit=limit)

    return await paging.page(
        "stores", caller.user_id, rows, key=(str, lambda store: store.id), item=StoreOut.of, filters={"area": area}
    )
