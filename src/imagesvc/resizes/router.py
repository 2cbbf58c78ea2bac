"""Routes: request a resize, get its status, get its result."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from imagesvc.accounts.router import CurrentCaller, needs_bearer
from imagesvc.errors import Forbidden, Malformed
from imagesvc.http.conditional import strong_etag
from imagesvc.http.file_response import StoredFileResponse
from imagesvc.http.problems import problems
from imagesvc.http.request_context import accept_large_body
from imagesvc.http.slow_clients import UploadStalled, declared_bytes, timed_body
from imagesvc.http.web_parts import SettingsPart, part
from imagesvc.images.errors import ImageNotFound
from imagesvc.images.router import BINARY, CONDITIONS, PRIVATE, opener
from imagesvc.processing.contract import MEDIA_TYPE_OF_FORMAT
from imagesvc.resizes.errors import (
    NoResult,
    NotAResize,
    ResizeExpired,
    ResizeNotFound,
    TooManyResizes,
    UnknownBody,
)
from imagesvc.resizes.request_reader import request_reader
from imagesvc.resizes.schemas import RESIZE_BODY, ResizeOut, ResizeTaken
from imagesvc.resizes.service import Resizes
from imagesvc.storage.bucket import ObjectGone, StorageAway
from imagesvc.uploads.errors import (
    Base64Broken,
    BrokenJson,
    BrokenMultipart,
    EmptyFile,
    FileTooLarge,
    NoFile,
    NoRoom,
    NotAnImage,
    RequestTooLarge,
    TooManyUploads,
)

router = APIRouter(prefix="/v1/resizes", tags=["resizes"], dependencies=[needs_bearer])
ResizesPart = Annotated[Resizes, Depends(part(Resizes))]

FILE_PROBLEMS = (FileTooLarge, NotAnImage, EmptyFile, Base64Broken, NoFile, ImageNotFound)
BODY_PROBLEMS = (UnknownBody, BrokenJson, BrokenMultipart, RequestTooLarge, UploadStalled, Malformed)
BUSY = (TooManyResizes, TooManyUploads, NoRoom, StorageAway)


@router.post(
    "",
    status_code=202,
    responses=problems(Forbidden, NotAResize, *FILE_PROBLEMS, *BODY_PROBLEMS, *BUSY),
    openapi_extra=RESIZE_BODY,
)
async def ask_for_resize(
    request: Request, caller: CurrentCaller, settings: SettingsPart, resizes: ResizesPart
) -> ResizeTaken:
    """Resize the image in the request, or one of your images. The same request again returns the same result."""
    accept_large_body(request)
    read = request_reader(settings, request.headers.get("content-type"), timed_body(request))
    try:
        token = await resizes.request(caller, read, declared_bytes=declared_bytes(request))
    except ValidationError as error:
        raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in error.errors()]) from error
    return ResizeTaken.of(token)


@router.get("/{token}", responses=problems(Forbidden, ResizeNotFound, ResizeExpired))
async def resize_status(
    request: Request, response: Response, token: UUID, caller: CurrentCaller, resizes: ResizesPart
) -> ResizeOut:
    """The status of a resize, and the URL of its result."""
    response.headers["Cache-Control"] = "no-store"
    return await resizes.status(caller, token)


@router.head("/{token}/result", include_in_schema=False)
@router.get(
    "/{token}/result",
    response_class=Response,
    responses={
        **BINARY,
        **problems(Forbidden, ResizeNotFound, ResizeExpired, NoResult, *CONDITIONS, ObjectGone, StorageAway),
    },
)
async def resized_image(request: Request, token: UUID, caller: CurrentCaller, resizes: ResizesPart) -> Response:
    """The resized image, until it expires."""
    found = await resizes.result(caller, token)
    return StoredFileResponse(
        opener(request, found.key),
        size=found.bytes,
        media_type=MEDIA_TYPE_OF_FORMAT[found.format],
        etag=strong_etag(found.sha256.hex()),
        cache_control=PRIVATE,
        sha256=found.sha256,
    )
