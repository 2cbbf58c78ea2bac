"""Routes: shares for an image's owner, and what a share shows to whoever has it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from imagesvc.accounts.router import CurrentCaller, needs_bearer
from imagesvc.errors import Forbidden, Malformed
from imagesvc.http.conditional import strong_etag
from imagesvc.http.file_response import StoredBytes
from imagesvc.http.pagination import Cursors, Page, fingerprint, link_next
from imagesvc.http.problems import problems
from imagesvc.images.errors import ImageNotFound, NoRendition, RenditionNotReady
from imagesvc.images.router import BINARY, CONDITIONS, ORIGINAL_HEADERS, PRIVATE, opener
from imagesvc.images.shares.errors import BadShareToken, ShareEnded, ShareExpired, ShareLifetime, ShareNotFound
from imagesvc.images.shares.schemas import NewShare, ShareOut
from imagesvc.images.shares.service import Shares
from imagesvc.storage.bucket import StorageAway

router = APIRouter(tags=["shares"])


@router.post(
    "/v1/images/{image_id}/shares",
    status_code=201,
    responses=problems(Forbidden, ImageNotFound, ShareLifetime),
    dependencies=[needs_bearer],
)
async def share_image(request: Request, image_id: UUID, body: NewShare, caller: CurrentCaller) -> ShareOut:
    """Show an image to whoever has the URL, until it expires or is withdrawn. `original` gives away all it contains."""
    shares: Shares = request.app.state.shares
    return await shares.create(caller, image_id, body)


@router.get(
    "/v1/images/{image_id}/shares",
    responses=problems(Forbidden, ImageNotFound, Malformed),
    dependencies=[needs_bearer],
)
async def list_shares(
    request: Request,
    response: Response,
    image_id: UUID,
    caller: CurrentCaller,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
) -> Page[ShareOut]:
    """The image's shares, the newest first."""
    shares: Shares = request.app.state.shares
    cursors: Cursors = request.app.state.cursors
    query = fingerprint("shares", caller.user_id, {"image": image_id})
    before = cursors.decode(cursor, query)[0] if cursor else None
    found = await shares.page(caller, image_id, before=before if isinstance(before, UUID) else None, limit=limit + 1)
    shown = found[:limit]
    next_cursor = cursors.encode(query, [shown[-1].id]) if len(found) > limit else None
    link_next(request, response, next_cursor)
    return Page(items=list(shown), next_cursor=next_cursor)


@router.delete(
    "/v1/images/{image_id}/shares/{share_id}",
    status_code=204,
    responses=problems(Forbidden, ShareNotFound),
    dependencies=[needs_bearer],
)
async def withdraw_share(request: Request, image_id: UUID, share_id: UUID, caller: CurrentCaller) -> None:
    """Stop a share at once."""
    shares: Shares = request.app.state.shares
    await shares.withdraw(caller, image_id, share_id)


@router.head("/s/{token}", include_in_schema=False)
@router.get(
    "/s/{token}",
    response_class=Response,
    responses={
        **BINARY,
        **problems(BadShareToken, ShareExpired, ShareEnded, NoRendition, *CONDITIONS, RenditionNotReady, StorageAway),
    },
)
async def shared_image(request: Request, token: str) -> Response:
    """The picture, or the original for saving. Caches have to ask each time, so that withdrawing works at once."""
    shares: Shares = request.app.state.shares
    found = await shares.shown(token)
    return StoredBytes(
        opener(request, found.key),
        size=found.bytes,
        media_type=found.media_type,
        etag=strong_etag(found.sha256.hex()),
        cache_control=PRIVATE,
        sha256=found.sha256,
        filename=found.filename,
        headers=ORIGINAL_HEADERS,
    )
