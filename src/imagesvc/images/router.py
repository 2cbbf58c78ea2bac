"""Routes: an image, its original and renditions; an upload; and the receipt that a link's uploader sees."""

from collections.abc import AsyncIterator, Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from imagesvc.accounts.router import OPTIONAL_BEARER, CurrentCaller, OptionalCaller, needs_bearer
from imagesvc.errors import Forbidden, PreconditionFailed
from imagesvc.http.conditional import is_unchanged, strong_etag
from imagesvc.http.file_response import OpenBytes, StoredFileResponse
from imagesvc.http.problems import Responses, problems
from imagesvc.http.public_path import public_path
from imagesvc.http.ranges import RangeNotSatisfiable
from imagesvc.http.web_parts import part, web_part
from imagesvc.images.editing import ImageEditing
from imagesvc.images.errors import ImageNotFound, NoRendition, NoSuchRendition, RenditionNotReady, UploadNotFound
from imagesvc.images.image_json import as_json, etag_of
from imagesvc.images.json_types import ImageOut, Receipt, UploadWithImage
from imagesvc.images.schemas import ImageChanges
from imagesvc.images.service import MAX_WAIT_SECONDS, Images, StoredRendition
from imagesvc.links.errors import BadLinkToken, LinkExpired, LinkRevoked
from imagesvc.links.router import CurrentLink
from imagesvc.processing.contract import FORMATS, LONG_SIDE, MEDIA_TYPE_OF_FORMAT
from imagesvc.processing.sniff import EXTENSION_OF
from imagesvc.storage.bucket import ObjectGone, Storage, StorageAway

router = APIRouter(tags=["images"])
ImagesPart = Annotated[Images, Depends(part(Images))]
ChangesPart = Annotated[ImageEditing, Depends(part(ImageEditing))]

Wait = Annotated[
    float,
    Query(ge=0, le=MAX_WAIT_SECONDS, description="wait up to this many seconds for processing to end"),
]
PRIVATE = "private, no-cache"
PUBLIC = "public, max-age=60, must-revalidate"
ORIGINAL_HEADERS = {"Content-Security-Policy": "default-src 'none'; sandbox"}
CONDITIONS = (PreconditionFailed, RangeNotSatisfiable)
BINARY: Responses = {
    200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}, "description": "The bytes"},
    206: {"description": "The requested range"},
    304: {"description": "`If-None-Match` contains the current entity tag"},
}
UNCHANGED: Responses = {304: BINARY[304]}
_SIZES = ", ".join(f"`{preset}` {side}" for preset, side in LONG_SIDE.items() if side is not None)
PRESETS_TEXT = f"{_SIZES} px on the long side, or `full`"
FORMATS_TEXT = " or ".join((", ".join(f"`{form}`" for form in FORMATS[:-1]), f"`{FORMATS[-1]}`"))


@router.get(
    "/v1/images/{image_id:uuid}",
    responses={**UNCHANGED, **problems(ImageNotFound)},
    response_model=ImageOut,
    openapi_extra=OPTIONAL_BEARER,
)
async def image(
    request: Request, image_id: UUID, caller: OptionalCaller, images: ImagesPart, wait: Wait = 0
) -> Response:
    """One image: all members for its owner and admins, the public view of a public image for anyone else."""
    return _json(request, await images.image(caller, image_id, wait_seconds=wait))


@router.get(
    "/v1/uploads/{upload_id}",
    responses={**UNCHANGED, **problems(UploadNotFound)},
    response_model=UploadWithImage,
    dependencies=[needs_bearer],
)
async def upload(
    request: Request, upload_id: UUID, caller: CurrentCaller, images: ImagesPart, wait: Wait = 0
) -> Response:
    """One upload and its image. With the id of a receipt, the link's owner finds the image."""
    return _json(request, await images.upload(caller, upload_id, wait_seconds=wait))


@router.patch(
    "/v1/images/{image_id:uuid}",
    responses=problems(Forbidden, ImageNotFound, PreconditionFailed),
    response_model=ImageOut,
    dependencies=[needs_bearer],
)
async def change_image(
    request: Request, image_id: UUID, body: ImageChanges, caller: CurrentCaller, changes: ChangesPart
) -> Response:
    """Change title, description or visibility. With `If-Match`, only if the image has not changed since that `GET`."""
    return _json(request, await changes.change(caller, image_id, body, request.headers))


@router.delete(
    "/v1/images/{image_id:uuid}",
    status_code=204,
    responses=problems(Forbidden, ImageNotFound, PreconditionFailed),
    dependencies=[needs_bearer],
)
async def delete_image(request: Request, image_id: UUID, caller: CurrentCaller, changes: ChangesPart) -> None:
    """Delete an image, its uploads and shares, and the stored file if no other image needs it. Supports `If-Match`."""
    await changes.delete(caller, image_id, request.headers)


@router.head("/v1/images/{image_id:uuid}/original", include_in_schema=False)
@router.get(
    "/v1/images/{image_id:uuid}/original",
    response_class=Response,
    responses={**BINARY, **problems(ImageNotFound, *CONDITIONS, ObjectGone, StorageAway)},
    dependencies=[needs_bearer],
)
async def original(request: Request, image_id: UUID, caller: CurrentCaller, images: ImagesPart) -> Response:
    """The file as it was uploaded. The entity tag is its SHA-256. Supports ranges and conditional requests."""
    found = await images.original(caller, image_id)
    return StoredFileResponse(
        opener(request, found.key),
        size=found.bytes,
        media_type=found.media_type,
        etag=strong_etag(found.sha256.hex()),
        cache_control=PRIVATE,
        sha256=found.sha256,
        filename=found.filename or f"{found.title}.{EXTENSION_OF[found.media_type]}",
        headers=ORIGINAL_HEADERS,
    )


@router.head("/v1/images/{image_id:uuid}/renditions/{preset}.{form}", include_in_schema=False)
@router.get(
    "/v1/images/{image_id:uuid}/renditions/{preset}.{form}",
    response_class=Response,
    responses={
        **BINARY,
        **problems(ImageNotFound, NoSuchRendition, NoRendition, *CONDITIONS, RenditionNotReady, StorageAway),
    },
    openapi_extra=OPTIONAL_BEARER,
)
async def rendition(
    request: Request,
    image_id: UUID,
    preset: Annotated[str, Path(description=PRESETS_TEXT)],
    form: Annotated[str, Path(description=FORMATS_TEXT)],
    caller: OptionalCaller,
    images: ImagesPart,
) -> Response:
    """A derived image: upright, sRGB, without metadata, never enlarged. The first request makes it if necessary."""
    found = await images.rendition(caller, image_id, preset, form)
    return _rendition(request, found, MEDIA_TYPE_OF_FORMAT[form])


@router.get(
    "/u/{token}/uploads/{upload_id}",
    tags=["upload"],
    responses={**UNCHANGED, **problems(BadLinkToken, LinkExpired, LinkRevoked, UploadNotFound)},
    response_model=Receipt,
)
async def receipt(request: Request, token: str, upload_id: UUID, link: CurrentLink, images: ImagesPart) -> Response:
    """The receipt of a file that was uploaded through this link: the state of its processing."""
    return _json(request, await images.receipt(link.id, upload_id, link_path=public_path(f"/u/{token}")))


@router.head("/u/{token}/uploads/{upload_id}/thumb.webp", include_in_schema=False)
@router.get(
    "/u/{token}/uploads/{upload_id}/thumb.webp",
    tags=["upload"],
    response_class=Response,
    responses={
        **BINARY,
        **problems(BadLinkToken, LinkExpired, LinkRevoked, NoSuchRendition, *CONDITIONS, ObjectGone, StorageAway),
    },
)
async def receipt_thumb(
    request: Request, token: str, upload_id: UUID, link: CurrentLink, images: ImagesPart
) -> Response:
    """The thumbnail of a file that was uploaded through this link."""
    return _rendition(request, await images.receipt_thumb(link.id, upload_id), MEDIA_TYPE_OF_FORMAT["webp"])


def opener(request: Request, key: str) -> OpenBytes:
    """Return a function that reads a range of the stored object."""
    storage = web_part(request, Storage)

    def open_bytes(start: int, stop: int) -> AsyncIterator[bytes]:
        return storage.read(key, start, stop)

    return open_bytes


def _rendition(request: Request, found: StoredRendition, media_type: str) -> StoredFileResponse:
    return StoredFileResponse(
        opener(request, found.key),
        size=found.bytes,
        media_type=media_type,
        etag=strong_etag(found.sha256.hex()),
        cache_control=PUBLIC if found.is_public else PRIVATE,
    )


def _json(request: Request, content: Mapping[str, object]) -> Response:
    """Encode the body and compare its entity tag with the condition of a ``GET``: 200 or 304."""
    body = as_json(content)
    headers = {"ETag": etag_of(body), "Cache-Control": PRIVATE}
    if request.method == "GET" and is_unchanged(request.headers, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")
