"""Routes: multipart and raw uploads, through a link or with a credential."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic_core import to_json

from imagesvc.accounts.router import CurrentCaller, needs_bearer
from imagesvc.errors import Forbidden, Malformed, Unauthenticated
from imagesvc.http.openapi import multipart_files, raw_file
from imagesvc.http.problems import Responses, problems
from imagesvc.http.public_path import public_path
from imagesvc.http.request_context import accept_large_body
from imagesvc.http.slow_clients import UploadStalled, declared_bytes, timed_body
from imagesvc.http.web_parts import SettingsPart, part, web_part
from imagesvc.links.errors import (
    BadLinkToken,
    LinkExpired,
    LinkReserved,
    LinkRevoked,
    LinkRoomTooSmall,
    LinkUsedUp,
)
from imagesvc.links.router import CurrentLink, open_link
from imagesvc.processing.sniff import EXTENSION_OF
from imagesvc.storage.bucket import StorageAway
from imagesvc.uploads.errors import (
    BadContext,
    BrokenMultipart,
    DigestMismatch,
    EmptyFile,
    FileTooLarge,
    NoFile,
    NoRoom,
    NotAnImage,
    NotMultipart,
    RequestTooLarge,
    TooManyUploads,
)
from imagesvc.uploads.limits import UploadLimits
from imagesvc.uploads.results import Results
from imagesvc.uploads.schemas import CONTEXT_FIELDS, CONTEXT_QUERY, LinkInvitation, UploadAnswer
from imagesvc.uploads.service import Uploads
from imagesvc.uploads.source import UploadSource
from imagesvc.uploads.upload_request import UploadRequest

router = APIRouter(tags=["upload"])
UploadsPart = Annotated[Uploads, Depends(part(Uploads))]

FILE_PROBLEMS = (
    *(FileTooLarge, NotAnImage, EmptyFile, DigestMismatch, BadContext),
    *(UploadStalled, TooManyUploads, NoRoom, StorageAway),
)
BODY_PROBLEMS = (NotMultipart, BrokenMultipart, RequestTooLarge, NoFile)
LINK_PROBLEMS = (BadLinkToken, LinkExpired, LinkRevoked, LinkUsedUp, LinkRoomTooSmall, LinkReserved)
ANSWERS: Responses = {
    200: {"model": UploadAnswer, "description": "All accepted files are duplicates."},
    201: {"model": UploadAnswer, "description": "At least one file is new."},
}


@router.get(
    "/u/{token}",
    summary="What a link still accepts",
    response_model=LinkInvitation,
    responses=problems(BadLinkToken, LinkExpired, LinkRevoked),
)
async def invitation(response: Response, link: CurrentLink, settings: SettingsPart) -> LinkInvitation:
    """For the holder of the link: its label, its remaining room, the limits, and the accepted formats.

    A browser, whose `Accept` names `text/html`, gets the upload page instead.
    """
    response.headers["Vary"] = "Accept"
    return LinkInvitation(
        label=link.label,
        expires_at=link.expires_at,
        remaining=link.remaining,
        max_file_bytes=link.max_file_bytes,
        max_parts_per_request=settings.max_parts,
        limits=UploadLimits.of_link(settings, max_file_bytes=link.max_file_bytes),
        accepted=list(EXTENSION_OF),
    )


@router.post(
    "/u/{token}",
    status_code=201,
    summary="Upload files through a link",
    response_class=JSONResponse,
    responses={**ANSWERS, **problems(*LINK_PROBLEMS, *FILE_PROBLEMS, *BODY_PROBLEMS)},
    openapi_extra=multipart_files(CONTEXT_FIELDS, file="the pictures"),
)
async def upload_through_link(request: Request, token: str) -> Response:
    """One or many `file` parts, streamed. A field applies to all files that follow it until it is given again."""
    uploads = web_part(request, Uploads)
    link = await open_link(request, token)
    return await _multipart(request, uploads, uploads.source_of_link(link), link_path=public_path(f"/u/{token}"))


@router.put(
    "/u/{token}/{filename:path}",
    status_code=201,
    summary="Upload one file through a link, as the body",
    response_class=JSONResponse,
    responses={**ANSWERS, **problems(Malformed, *LINK_PROBLEMS, *FILE_PROBLEMS)},
    openapi_extra={**raw_file("the picture"), "parameters": CONTEXT_QUERY},
)
async def upload_raw_through_link(request: Request, token: str, filename: str) -> Response:
    """The body is the file (`curl -T picture.jpg $LINK/picture.jpg`). Context fields are query parameters."""
    uploads = web_part(request, Uploads)
    source = uploads.source_of_link(await open_link(request, token))
    upload = _upload_request(request, source, link_path=public_path(f"/u/{token}"))
    await uploads.take_raw(
        upload,
        filename=filename,
        fields=request.query_params if request.scope["query_string"] else {},
        repr_digest=request.headers.get("repr-digest"),
    )
    return _answer(upload)


@router.post(
    "/v1/images",
    status_code=201,
    summary="Upload files",
    response_class=JSONResponse,
    dependencies=[needs_bearer],
    responses={**ANSWERS, **problems(Unauthenticated, Forbidden, *FILE_PROBLEMS, *BODY_PROBLEMS)},
    openapi_extra=multipart_files(CONTEXT_FIELDS, file="the pictures"),
)
async def upload_images(request: Request, caller: CurrentCaller, uploads: UploadsPart) -> Response:
    """One or many `file` parts, streamed. A field applies to all files that follow it until it is given again."""
    return await _multipart(request, uploads, uploads.source_of_user(caller), link_path=None)


async def _multipart(request: Request, uploads: Uploads, source: UploadSource, *, link_path: str | None) -> Response:
    upload = _upload_request(request, source, link_path=link_path)
    await uploads.take_multipart(upload, content_type=request.headers.get("content-type"))
    return _answer(upload)


def _upload_request(request: Request, source: UploadSource, *, link_path: str | None) -> UploadRequest:
    """Raises Malformed."""
    accept_large_body(request)
    return UploadRequest(
        source=source,
        body=timed_body(request),
        declared_bytes=declared_bytes(request),
        results=Results(source, link_path=link_path),
    )


def _answer(upload: UploadRequest) -> Response:
    status, body = upload.results.answer()
    return Response(to_json(body), status, media_type="application/json")
