"""Routes: a batch of images as JSON, and batches as they came in."""

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

router = APIRouter(prefix="/v1/batches", tags=["upload"], dependencies=[needs_bearer])
BatchesPart = Annotated[Batches, Depends(part(Batches))]

DEEPEST = 10_000
"""How many batches `page` reaches; a cursor goes on from any place at the same price."""
BODY_PROBLEMS = (NotJson, BrokenJson, NotABatch, Base64Broken, NoFile, RequestTooLarge)
PRIVATE = {"Cache-Control": "private, no-cache"}


@router.post(
    "",
    status_code=202,
    summary="Upload files as JSON",
    response_class=JSONResponse,
    responses={
        202: {"model": UploadAnswer, "description": "At least one file was taken; processing goes on."},
        **problems(Forbidden, *FILE_PROBLEMS, *BODY_PROBLEMS, *IDEMPOTENCY_PROBLEMS),
    },
    openapi_extra=BATCH_BODY,
)
async def upload_batch(
    request: Request, caller: CurrentCaller, batches: BatchesPart, key: IdempotencyKey = None
) -> Response:
    """Images in base64, each with its own context, decoded as they stream in; each is taken or rejected by itself.

    What is wrong with an item is told with a JSON pointer (`/images/3/file`). Broken JSON keeps what was complete.
    """
    source, declared = batches.source(caller), declared_bytes(request)
    _require_json(request)
    accept_large_body(request)
    request_body = timed_body(request)

    async def take(stream: AsyncIterator[bytes]) -> Response:
        assert source.batch_id is not None  # noqa: S101 - this kind of source makes one
        results = Results(source.batch_id, way=source.way, link_path=None)
        await batches.take(stream, request_body, source, results, declared_bytes=declared)
        _, body = results.answer()
        return JSONResponse(body, 202)

    return await idempotent_stream(request, caller.user_id, key, request_body, take)


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
    """What came in together: the batches of all ways in, the newest first; an admin sees everybody's."""
    if cursor is not None and (page is not None or per_page is not None):
        raise _wrong("cursor", "Send `cursor`, or `page` and `per_page`, not both.")
    size = per_page or limit
    offset = ((page or 1) - 1) * size
    if offset + size > DEEPEST:
        raise _wrong("page", f"Pages reach {DEEPEST} batches; follow `next_cursor` to go on.")
    query = fingerprint("batches", caller.user_id, {})
    before = cursors.decode(cursor, query)[0] if cursor else None
    found = await batches.page(caller, before=before if isinstance(before, UUID) else None, offset=offset, limit=size)
    following = cursors.encode(query, [found.last_id]) if found.last_id else None
    next_cursor = f'"{following}"' if following else "null"
    body = f'{{"items":{found.items},"next_cursor":{next_cursor}}}'
    response = Response(body, headers=PRIVATE, media_type="application/json")
    if page is None:
        link_next(request, response, following)
    elif following:
        link_next_page(request, response, page + 1)
    return response


@router.get("/{batch_id}", response_model=BatchOut, responses=problems(Forbidden, BatchNotFound))
async def get_batch(request: Request, batch_id: UUID, caller: CurrentCaller, batches: BatchesPart) -> Response:
    """One batch with its images: how they fare, where they and their renditions are, what the device told."""
    return Response(await batches.get(caller, batch_id), headers=PRIVATE, media_type="application/json")


def _require_json(request: Request) -> None:
    """Raises NotJson for another declared type; whoever declares none gets the benefit of the doubt."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise NotJson("Send `Content-Type: application/json`.")


def _wrong(parameter: str, detail: str) -> Invalid:
    return Invalid(detail, errors=[{"pointer": f"/query/{parameter}", "detail": detail}])
