"""Routes of shares for the owner of an image, and the route that serves the shared file."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from imagesvc.accounts.router import CurrentCaller, needs_bearer
from imagesvc.errors import Forbidden, Malformed
from imagesvc.http.conditional import strong_etag
from imagesvc.http.file_response import StoredFileResponse
from imagesvc.http.pagination import Page, PagingPart
from imagesvc.http.problems import problems
from imagesvc.http.web_parts import part
from imagesvc.images.errors import ImageNotFound, NoRendition, RenditionNotReady
from imagesvc.images.router import BINARY, CONDITIONS, ORIGINAL_HEADERS, PRIVATE, opener
from imagesvc.images.shares.errors import BadShareToken, ShareEnded, ShareExpired, ShareLifetime, ShareNotFound
from imagesvc.images.shares.schemas import NewShare, ShareOut
from imagesvc.images.shares.service import Shares
from imagesvc.storage.bucket import StorageAway

router = APIRouter(tags=["shares"])
SharesPart = Annotated[Shares, Depends(part(Shares))]


@router.post(
    "/v1/images/{image_id:uuid}/shares",
    status_code=201,
    responses=problems(Forbidden, ImageNotFound, ShareLifetime),
    dependencies=[needs_bearer],
)
async def share_image(
    request: Request, image_id: UUID, body: NewShare, caller: CurrentCaller, shares: SharesPart
) -> ShareOut:
    """Show an image to everyone who has the URL, until it expires or is withdrawn. `original` includes its metadata."""
    return await shares.create(caller, image_id, body)


@router.get(
    "/v1/images/{image_id:uuid}/shares",
    responses=problems(Forbidden, ImageNotFound, Malformed),
    dependencies=[needs_bearer],
)
async def list_shares(image_id: UUID, caller: CurrentCaller, shares: SharesPart, paging: PagingPart) -> Page[ShareOut]:
    """The image's shares, the newest first."""

    async def rows(last: UUID | None, limit: int) -> Sequence[ShareOut]:
        return await shares.page(caller, image_id, before=last, limit=limit)

    return await paging.page(
        "shares",
        caller.user_id,
        rows,
        key=(UUID, lambda share: share.id),
        item=lambda share: share,
        filters={"image": image_id},
    )


@router.delete(
    "/v1/images/{image_id:uuid}/shares/{share_id:uuid}",
    status_code=204,
    responses=problems(Forbidden, ShareNotFound),
    dependencies=[needs_bearer],
)
async def withdraw_share(
    request: Request, image_id: UUID, share_id: UUID, caller: CurrentCaller, shares: SharesPart
) -> None:
    """Withdraw a share at once."""
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
async def shared_image(request: Request, token: str, shares: SharesPart) -> Response:
    """The rendition, or the original as a download. Caches must revalidate it, so a withdrawn share stops at once."""
    file = await shares.open(token)
    return StoredFileResponse(
        opener(request, file.key),
        size=file.bytes,
        media_type=file.media_type,
        etag=strong_etag(file.sha256.hex()),
        cache_control=PRIVATE,
        sha256=file.sha256,
        filename=file.filename,
        headers=ORIGINAL_HEADERS,
    )
