"""Routes: tus 1.0 for users, and for the holder of a link below its path."""

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.params import Depends as DependsParameter
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from imagesvc.accounts.router import CurrentCaller, needs_bearer
from imagesvc.errors import Forbidden, ImagesvcError, Unauthenticated
from imagesvc.http.problems import problems
from imagesvc.http.public_path import public_path
from imagesvc.http.request_context import accept_large_body
from imagesvc.http.slow_clients import TimedBody, declared_bytes
from imagesvc.http.web_parts import web_part
from imagesvc.links.errors import BadLinkToken, LinkExpired, LinkRevoked
from imagesvc.links.router import link_of_request, open_link
from imagesvc.links.service import OpenLink
from imagesvc.settings import Settings
from imagesvc.uploads.service import Uploads
from imagesvc.uploads.source import UploadSource
from imagesvc.uploads.tus import headers, openapi
from imagesvc.uploads.tus.append import PatchBody
from imagesvc.uploads.tus.checksum import Checksum
from imagesvc.uploads.tus.creation import NewUpload, ResumableCreation, WholeUpload
from imagesvc.uploads.tus.errors import ClientGone, NotOffsetStream, ResumableNotFound, TusHeader
from imagesvc.uploads.tus.queries import ResumableRow
from imagesvc.uploads.tus.service import ResumableUploads


class TusRoute(APIRoute):
    """Checks the protocol version first, and adds the headers of tus to every answer, including errors."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_tus(request: Request) -> Response:
            try:
                if request.method != "OPTIONS":
                    headers.require_version(request.headers.get("tus-resumable"))
                    headers.refuse_unknown_extensions(request.headers.keys())
                answer = await handle(request)
            except ImagesvcError as error:
                error.headers = headers.COMMON_HEADERS | error.headers
                raise
            except ClientGone as gone:
                raise ClientDisconnect from gone
            answer.headers.update(headers.COMMON_HEADERS)
            return answer

        return handle_tus


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TusEndpoint:
    """The endpoint of a request. ``path`` is the path of all uploads, ``link_path`` that of the link."""

    source: UploadSource
    path: str
    link_path: str | None


async def user_endpoint(request: Request, caller: CurrentCaller) -> TusEndpoint:
    uploads = web_part(request, Uploads)
    return TusEndpoint(source=_tus_source(uploads.source_of_user(caller)), path=public_path("/v1/tus"), link_path=None)


async def link_endpoint(request: Request, token: str) -> TusEndpoint:
    return _link_endpoint(request, token, await open_link(request, token))


async def link_endpoint_to_continue(request: Request, token: str) -> TusEndpoint:
    """The expiry of a link is checked when an upload is created, its revocation at each request."""
    return _link_endpoint(request, token, await link_of_request(request, token, is_expired_allowed=True))


def _link_endpoint(request: Request, token: str, link: OpenLink) -> TusEndpoint:
    source = _tus_source(web_part(request, Uploads).source_of_link(link))
    return TusEndpoint(source=source, path=public_path(f"/u/{token}/tus"), link_path=public_path(f"/u/{token}"))


def _tus_source(source: UploadSource) -> UploadSource:
    return dataclasses.replace(source, way="tus", batch_id=None)


def routes(
    prefix: str,
    *,
    create: Callable[..., Awaitable[TusEndpoint]],
    resume: Callable[..., Awaitable[TusEndpoint]],
    auth_problems: tuple[type[ImagesvcError], ...],
    dependencies: Sequence[DependsParameter] = (),
) -> APIRouter:
    """The routes of tus below ``prefix``. ``create`` and ``resume`` are the dependencies that authenticate requests."""
    router = APIRouter(prefix=prefix, tags=["resumable upload"], route_class=TusRoute, dependencies=list(dependencies))
    Creating = Annotated[TusEndpoint, Depends(create)]  # noqa: N806 - a type
    Resuming = Annotated[TusEndpoint, Depends(resume)]  # noqa: N806

    @router.options("", status_code=204, responses=problems(*auth_problems), openapi_extra=openapi.CAPABILITIES)
    async def resumable_capabilities(endpoint: Creating) -> Response:
        """The supported version and extensions of tus, and the maximum size of a file."""
        return Response(None, 204, headers.capabilities(max_file_bytes=endpoint.source.max_file_bytes))

    @router.post(
        "",
        status_code=201,
        response_class=Response,
        responses=openapi.CREATED | problems(*auth_problems, *openapi.CREATION_PROBLEMS),
        openapi_extra=openapi.CREATE,
    )
    async def create_resumable_upload(request: Request, endpoint: Creating) -> Response:
        """Create an upload of a declared length. The request may already contain its first bytes, or all bytes."""
        return await _create(request, endpoint)

    # some clients and proxies add a slash
    router.add_api_route("/", resumable_capabilities, methods=["OPTIONS"], include_in_schema=False)
    router.add_api_route("/", create_resumable_upload, methods=["POST"], status_code=201, include_in_schema=False)

    @router.head(
        "/{upload_id}",
        responses=openapi.STATUS | problems(*auth_problems, *openapi.STATUS_PROBLEMS),
        openapi_extra=openapi.VERSION_ONLY,
    )
    async def resumable_upload_offset(request: Request, upload_id: str, endpoint: Resuming) -> Response:
        """The offset of an unfinished upload, or the result of a finished one."""
        return await _status(request, endpoint, upload_id)

    @router.patch(
        "/{upload_id}",
        status_code=204,
        responses=openapi.APPENDED | problems(*auth_problems, *openapi.APPEND_PROBLEMS),
        openapi_extra=openapi.APPEND,
    )
    async def append_to_resumable_upload(request: Request, upload_id: str, endpoint: Resuming) -> Response:
        """Send bytes from `Upload-Offset` on. Received bytes count after a break, unless they have a checksum."""
        return await _append(request, endpoint, upload_id)

    @router.delete(
        "/{upload_id}",
        status_code=204,
        responses=problems(*auth_problems, *openapi.STATUS_PROBLEMS),
        openapi_extra=openapi.VERSION_ONLY,
    )
    async def terminate_resumable_upload(request: Request, upload_id: str, endpoint: Resuming) -> Response:
        """End an upload and release what it holds. The image of a finished upload stays."""
        return await _terminate(request, endpoint, upload_id)

    @router.options("/{upload_id}", include_in_schema=False)
    async def resumable_capabilities_again(endpoint: Resuming) -> Response:
        return Response(None, 204, headers.capabilities(max_file_bytes=endpoint.source.max_file_bytes))

    @router.post("/{upload_id}", include_in_schema=False)
    async def overridden_method(request: Request, upload_id: str, endpoint: Resuming) -> Response:
        """For clients that cannot send PATCH or DELETE."""
        method = request.headers.get("x-http-method-override", "").upper()
        if method not in OVERRIDABLE:
            raise TusHeader("A POST to an upload requires X-HTTP-Method-Override: PATCH, HEAD or DELETE.")
        return await OVERRIDABLE[method](request, endpoint, upload_id)

    return router


async def _create(request: Request, endpoint: TusEndpoint) -> Response:
    sent = request.headers
    has_body = (declared_bytes(request) or 0) > 0 or "transfer-encoding" in sent
    if has_body:
        _require_offset_stream(request)
    metadata = sent.get("upload-metadata", "")
    new = NewUpload(
        length=headers.upload_length(sent.get("upload-length"), deferred=sent.get("upload-defer-length")),
        sent_metadata=metadata,
        fields=headers.parse_metadata(metadata),
    )
    creation, body = web_part(request, ResumableCreation), _body(request) if has_body else None
    if body is not None and creation.is_whole(new, body):
        whole = await creation.create_whole(endpoint.source, new, body)
        return Response(None, 201, {"Location": f"{endpoint.path}/{whole.id}"} | _whole_result(whole, new, endpoint))
    upload_id = await creation.create(endpoint.source, new)
    location, resumables = {"Location": f"{endpoint.path}/{upload_id}"}, _resumables(request)
    if body is None:
        upload = await resumables.created(endpoint.source, upload_id)
    else:
        try:
            upload = await resumables.append(endpoint.source, upload_id, body, offset=0)
        except ImagesvcError as error:
            error.headers |= location
            raise
    return Response(None, 201, location | _progress(upload, endpoint))


async def _status(request: Request, endpoint: TusEndpoint, upload_id: str) -> Response:
    upload = await _resumables(request).status(endpoint.source, _uuid(upload_id))
    status = {"Upload-Length": str(upload.length)} | _progress(upload, endpoint)
    if upload.metadata:
        status["Upload-Metadata"] = upload.metadata
    return Response(None, 200, status)


async def _append(request: Request, endpoint: TusEndpoint, upload_id: str) -> Response:
    _require_offset_stream(request)
    offset = headers.upload_offset(request.headers.get("upload-offset"))
    upload = await _resumables(request).append(endpoint.source, _uuid(upload_id), _body(request), offset=offset)
    return Response(None, 204, _progress(upload, endpoint))


async def _terminate(request: Request, endpoint: TusEndpoint, upload_id: str) -> Response:
    await _resumables(request).terminate(endpoint.source, _uuid(upload_id))
    return Response(None, 204)


OVERRIDABLE = {"PATCH": _append, "HEAD": _status, "DELETE": _terminate}


def _progress(upload: ResumableRow, endpoint: TusEndpoint) -> dict[str, str]:
    if upload.state == "done":
        return headers.result(
            length=upload.length,
            status=upload.status,
            upload_id=upload.upload_id,
            image_id=upload.image_id,
            link_path=endpoint.link_path,
        )
    return headers.progress(upload)


def _whole_result(upload: WholeUpload, new: NewUpload, endpoint: TusEndpoint) -> dict[str, str]:
    admitted = upload.admitted
    return headers.result(
        length=new.length,
        status=admitted.status,
        upload_id=admitted.upload_id,
        image_id=admitted.image_id,
        link_path=endpoint.link_path,
    )


def _require_offset_stream(request: Request) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != headers.OFFSET_STREAM:
        raise NotOffsetStream(f"`Content-Type: {headers.OFFSET_STREAM}` is required.")


def _body(request: Request) -> PatchBody:
    checksum = request.headers.get("upload-checksum")
    accept_large_body(request)
    return PatchBody(
        stream=TimedBody(web_part(request, Settings), _stream(request)),
        declared_bytes=declared_bytes(request),
        checksum=None if checksum is None else Checksum(checksum),
    )


async def _stream(request: Request) -> AsyncIterator[bytes]:
    """The body of the request. Raises ClientGone, which the service can catch without Starlette."""
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        raise ClientGone from error


def _resumables(request: Request) -> ResumableUploads:
    return web_part(request, ResumableUploads)


def _uuid(text: str) -> UUID:
    """Raises ResumableNotFound."""
    try:
        return UUID(text)
    except ValueError:
        raise ResumableNotFound from None


user_router = routes(
    "/v1/tus",
    create=user_endpoint,
    resume=user_endpoint,
    auth_problems=(Unauthenticated, Forbidden),
    dependencies=[needs_bearer],
)
link_router = routes(
    "/u/{token}/tus",
    create=link_endpoint,
    resume=link_endpoint_to_continue,
    auth_problems=(BadLinkToken, LinkExpired, LinkRevoked),
)
