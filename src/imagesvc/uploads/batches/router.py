"""Routes: upload a batch of images as JSON, and read batches."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from imagesvc.accounts.router import CurrentCaller, needs_bearer
from imagesvc.errors import Forbidden, Invalid, Malformed
from imagesvc.http.idempotent_routes import IDEMPOTENCY_PROBLEMS, IdempotencyKey, idempotent_stream
from imagesvc.http.pagination import CursorsPart, Page, fingerprint, link_next, link_next_page
from imagesvc.http.problems import problems
from imagesvc.http.request_context import accept_large_body
from imagesvc.http.slow_clients import declared_bytes, timed_body
from imagesvc.http.web_parts import part
from imagesvc.uploads.batches.schemas import BATCH_BODY, BatchOut
from imagesvc.uploads.batches.service import Batches
from imagesvc.uploads.errors import (
    Base64Broken,
    BatchNotFound,
    BrokenJson,
    NoFile,
    NotABatch,
    NotJson,
    RequestTooLarge,
)
from imagesvc.uploads.results import Results
from imagesvc.uploads.router import FILE_PROBLEMS
from imagesvc.uploads.schemas import UploadAnswer
from imagesvc.uploads.upload_request import UploadRequest

router = APIRouter(prefix="/v1/batches", tags=["upload"], dependencies=[needs_bearer])
BatchesPart = Annotated[Batches, Depends(part(Batches))]

MAX_OFFSET = 10_000
"""How many batches `page` can reach. A cursor reaches any batch at constant cost."""
BODY_PROBLEMS = (NotJson, BrokenJson, NotABatch, Base64Broken, NoFile, RequestTooLarge)
PRIVATE = {"Cache-Control": "private, no-cache"}


@router.post(
    "",
    status_code=202,
    summary="Upload files as JSON",
    response_class=JSONResponse,
    responses={
        202: {
            "model": UploadAnswer,
            "description": "At least one file was accepted; processing continues in the background.",
        },
        **problems(Forbidden, *FILE_PROBLEMS, *BODY_PROBLEMS, *IDEMPOTENCY_PROBLEMS),
    },
    openapi_extra=BATCH_BODY,
)
async def upload_batch(
    request: Request, caller: CurrentCaller, batches: BatchesPart, key: IdempotencyKey = None
) -> Response:
    """Images in base64, each with its own context, decoded while they arrive. Each is accepted or rejected by itself.

    A JSON pointer (`/images/3/file`) locates each error. When the JSON is broken, the items before that are kept.
    """
    source, declared = batches.source(caller), declared_bytes(request)
    _require_json(request)
    accept_large_body(request)
    body = timed_body(request)

    async def take(stream: AsyncIterator[bytes]) -> Response:
        results = Results(source, link_path=None)
        await batches.take(UploadRequest(source=source, body=body, declared_bytes=declared, results=results), stream)
        _, answer = results.answer()
        return JSONResponse(answer, 202)

    return await idempotent_stream(request, caller.user_id, key, body, take)


@router.get("", response_model=Page[BatchOut], responses=problems(Forbidden, Malformed, Invalid))
async def list_batches(
    request: Request,
    caller: CurrentCaller,
    cursors: CursorsPart,
    batches: BatchesPart,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
    page: Annotated[int | None, Query(ge=1, description="from 1; not together with `cursor`")] = None,
    per_page: Annotated[int | None, Query(ge=1, le=200, description="instead of `limit`")] = None,
) -> Response:
    """The uploads of each request, newest first, for every way of uploading. An admin sees the batches of all users."""
    if cursor is not None and (page is not None or per_page is not None):
        raise _wrong("cursor", "Send `cursor`, or `page` and `per_page`, not both.")
    size = per_page or limit
    offset = ((page or 1) - 1) * size
    if offset + size > MAX_OFFSET:
        raise _wrong("page", f"Pages reach {MAX_OFFSET} batches; follow `next_cursor` for more.")
    query = fingerprint("batches", caller.user_id, {})
    before = cursors.decode(cursor, query)[0] if cursor else None
    batch_page = await batches.page(
        caller, before=before if isinstance(before, UUID) else None, offset=offset, limit=size
    )
    next_text = cursors.encode(query, [batch_page.last_id]) if batch_page.last_id else None
    next_cursor = f'"{next_text}"' if next_text else "null"
    body = f'{{"items":{batch_page.items},"next_cursor":{next_cursor}}}'
    response = Response(body, headers=PRIVATE, media_type="application/json")
    if page is None:
        link_next(request, response, next_text)
    elif next_text:
        link_next_page(request, response, page + 1)
    return response


@router.get("/{batch_id}", response_model=BatchOut, responses=problems(Forbidden, BatchNotFound))
async def get_batch(request: Request, batch_id: UUID, caller: CurrentCaller, batches: BatchesPart) -> Response:
    """One batch with its uploads: their context, and the state and URLs of their images and renditions."""
    return Response(await batches.get(caller, batch_id), headers=PRIVATE, media_type="application/json")


def _require_json(request: Request) -> None:
    """Raises NotJson for another declared type. A request without Content-Type is accepted."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise NotJson("Send `Content-Type: application/json`.")


def _wrong(parameter: str, detail: str) -> Invalid:
    return Invalid(detail, errors=[{"pointer": f"/query/{parameter}", "detail": detail}])
