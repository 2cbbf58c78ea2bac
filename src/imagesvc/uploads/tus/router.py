"""Routes: tus 1.0 for users and, below a link, for whoever holds it. Headers in, headers out."""

import dataclasses
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from imagesvc.accounts.router import CurrentCaller, needs_bearer
from imagesvc.errors import Forbidden, ImagesvcError, Unauthenticated
from imagesvc.http.problems import problems
from imagesvc.http.request_context import accept_large_body
from imagesvc.http.slow_clients import TimedBody, declared_bytes
from imagesvc.http.web_parts import web_part
from imagesvc.links.errors import BadLinkToken, LinkExpired, LinkRevoked
from imagesvc.links.router import link_behind, open_link
from imagesvc.settings import Settings
from imagesvc.uploads.service import Uploads
from imagesvc.uploads.source import UploadSource
from imagesvc.uploads.tus import headers, openapi
from imagesvc.uploads.tus.checksum import Checksum
from imagesvc.uploads.tus.errors import ClientGone, NotOffsetStream, ResumableNotFound, TusHeader
from imagesvc.uploads.tus.service import PatchBody, ResumableUploads


class TusRoute(APIRoute):
    """Looks at the version before anything else, and puts the protocol's own headers on every answer, failures too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def speak(request: Request) -> Response:
            try:
                if request.method != "OPTIONS":
                    headers.require_version(request.headers.get("tus-resumable"))
                answer = await handle(request)
            except ImagesvcError as error:
                error.headers = headers.EVERY_ANSWER | error.headers
                raise
            except ClientGone as gone:
                raise ClientDisconnect from gone
            answer.headers.update(headers.EVERY_ANSWER)
            return answer

        return speak


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where a request came in. ``path`` is that of the uploads, ``link_path`` the link's own."""

    source: UploadSource
    path: str
    link_path: str | None


async def user_entry(request: Request, caller: CurrentCaller) -> Entry:
    uploads = web_part(request, Uploads)
    return Entry(source=_tus(uploads.source_of_user(caller)), path="/v1/tus", link_path=None)


async def link_entry(request: Request, token: str) -> Entry:
    uploads = web_part(request, Uploads)
    source = _tus(uploads.source_of_link(await open_link(request, token)))
    return Entry(source=source, path=f"/u/{token}/tus", link_path=f"/u/{token}")


async def link_entry_to_go_on(request: Request, token: str) -> Entry:
    """Whether a link has expired is judged when an upload is created; whether it was withdrawn, each time."""
    uploads = web_part(request, Uploads)
    source = _tus(uploads.source_of_link(await link_behind(request, token, is_expired_allowed=True)))
    return Entry(source=source, path=f"/u/{token}/tus", link_path=f"/u/{token}")


def _tus(source: UploadSource) -> UploadSource:
    return dataclasses.replace(source, way="tus", batch_id=None)


def routes(
    prefix: str,
    *,
    begin: Callable[..., Any],
    go_on: Callable[..., Any],
    who: tuple[type[ImagesvcError], ...],
    **shared: Any,
) -> APIRouter:
    """The same protocol for users and links; ``who`` is how each refuses strangers."""
    router = APIRouter(prefix=prefix, tags=["resumable upload"], route_class=TusRoute, **shared)
    Beginning = Annotated[Entry, Depends(begin)]  # noqa: N806 - a type
    GoingOn = Annotated[Entry, Depends(go_on)]  # noqa: N806

    @router.options("", status_code=204, responses=problems(*who), openapi_extra=openapi.CAPABILITIES)
    async def resumable_capabilities(entry: Beginning) -> Response:
        """What of tus is spoken here, and how large a file may be."""
        return Response(None, 204, headers.capabilities(max_file_bytes=entry.source.max_file_bytes))

    @router.post(
        "", status_code=201, responses=openapi.CREATED | problems(*who, *openapi.CREATION), openapi_extra=openapi.CREATE
    )
    async def create_resumable_upload(request: Request, entry: Beginning) -> Response:
        """Create an upload of a declared length; it may bring its first bytes, or all, along."""
        return await _create(request, entry)

    @router.head("/{upload_id}", responses=openapi.TOLD | problems(*who, *openapi.TELLING))
    async def resumable_upload_offset(request: Request, upload_id: str, entry: GoingOn) -> Response:
        """How far an upload has come, and what a finished one has led to."""
        return await _tell(request, entry, upload_id)

    @router.patch(
        "/{upload_id}",
        status_code=204,
        responses=openapi.APPENDED | problems(*who, *openapi.APPENDING),
        openapi_extra=openapi.APPEND,
    )
    async def append_to_resumable_upload(request: Request, upload_id: str, entry: GoingOn) -> Response:
        """Send bytes from `Upload-Offset` on. What arrives before a cut counts, unless a checksum comes with it."""
        return await _append(request, entry, upload_id)

    @router.delete("/{upload_id}", status_code=204, responses=problems(*who, *openapi.TELLING))
    async def terminate_resumable_upload(request: Request, upload_id: str, entry: GoingOn) -> Response:
        """End an upload and free what it has. An image that it has led to stays."""
        await _resumables(request).terminate(entry.source, _id(upload_id))
        return Response(None, 204)

    @router.options("/{upload_id}", include_in_schema=False)
    async def resumable_capabilities_again(entry: GoingOn) -> Response:
        return Response(None, 204, headers.capabilities(max_file_bytes=entry.source.max_file_bytes))

    @router.post("/{upload_id}", include_in_schema=False)
    async def overridden_method(request: Request, upload_id: str, entry: GoingOn) -> Response:
        """For clients that can send no PATCH or DELETE."""
        match request.headers.get("x-http-method-override", "").upper():
            case "PATCH":
                return await _append(request, entry, upload_id)
            case "HEAD":
                return await _tell(request, entry, upload_id)
            case "DELETE":
                await _resumables(request).terminate(entry.source, _id(upload_id))
                return Response(None, 204)
            case _:
                raise TusHeader("A POST to an upload needs X-HTTP-Method-Override: PATCH, HEAD or DELETE.")

    return router


async def _create(request: Request, entry: Entry) -> Response:
    sent = request.headers
    has_body = (declared_bytes(request) or 0) > 0 or "transfer-encoding" in sent
    if has_body:
        _require_offset_stream(request)
    length = headers.upload_length(sent.get("upload-length"), deferred=sent.get("upload-defer-length"))
    metadata = sent.get("upload-metadata", "")
    body = _body(request) if has_body else None
    upload = await _resumables(request).create(
        entry.source, length=length, sent_metadata=metadata, fields=headers.parse_metadata(metadata)
    )
    location = {"Location": f"{entry.path}/{upload['id']}"}
    if body is not None:
        try:
            upload = await _resumables(request).append(entry.source, upload["id"], body, offset=0)
        except ImagesvcError as error:
            error.headers |= location
            raise
    return Response(None, 201, location | _standing(upload, entry))


async def _tell(request: Request, entry: Entry, upload_id: str) -> Response:
    upload = await _resumables(request).tell(entry.source, _id(upload_id))
    told = {"Upload-Length": str(upload["length"])} | _standing(upload, entry)
    if upload["metadata"]:
        told["Upload-Metadata"] = upload["metadata"]
    return Response(None, 200, told)


async def _append(request: Request, entry: Entry, upload_id: str) -> Response:
    _require_offset_stream(request)
    offset = headers.upload_offset(request.headers.get("upload-offset"))
    upload = await _resumables(request).append(entry.source, _id(upload_id), _body(request), offset=offset)
    return Response(None, 204, _standing(upload, entry))


def _standing(upload: Any, entry: Entry) -> dict[str, str]:
    if upload["state"] == "done":
        return headers.result(upload, link_path=entry.link_path)
    return headers.progress(upload)


def _require_offset_stream(request: Request) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != headers.OFFSET_STREAM:
        raise NotOffsetStream(f"`Content-Type: {headers.OFFSET_STREAM}` is needed.")


def _body(request: Request) -> PatchBody:
    checksum = request.headers.get("upload-checksum")
    accept_large_body(request)
    return PatchBody(
        stream=TimedBody(web_part(request, Settings), _arriving(request)),
        declared_bytes=declared_bytes(request),
        checksum=None if checksum is None else Checksum(checksum),
    )


async def _arriving(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        raise ClientGone from error


def _resumables(request: Request) -> ResumableUploads:
    return web_part(request, ResumableUploads)


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ResumableNotFound from None


user_router = routes(
    "/v1/tus", begin=user_entry, go_on=user_entry, who=(Unauthenticated, Forbidden), dependencies=[needs_bearer]
)
link_router = routes(
    "/u/{token}/tus", begin=link_entry, go_on=link_entry_to_go_on, who=(BadLinkToken, LinkExpired, LinkRevoked)
)
