"""Answers every failure as ``application/problem+json`` (RFC 9457), and lists the failures of a route for OpenAPI.

``type`` is ``/problems/<slug>``, a route of this service; ``instance`` is the request id, which the logs contain too.
Expected failures are ``ImagesvcError``s. The exceptions of FastAPI and Starlette are translated into them here.
"""

import inspect
import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from imagesvc import errors
from imagesvc.db import DatabaseBusy
from imagesvc.errors import ImagesvcError
from imagesvc.http.public_path import route_path
from imagesvc.http.validation import failure_of
from imagesvc.metrics.instruments import count_problem

MEDIA_TYPE = "application/problem+json"
SCHEMA_REF = {"$ref": "#/components/schemas/Problem"}
JsonObject = dict[str, Any]
"""A JSON object of any members: FastAPI's type for OpenAPI documents, and problems with their extension members."""
Responses = dict[int | str, JsonObject]
"""The type that FastAPI declares for ``responses=``."""

log = structlog.get_logger("imagesvc.http")


class MethodNotAllowed(ImagesvcError):
    """The path exists, but not with this method. ``Allow`` lists the methods."""

    status, slug, title = 405, "method-not-allowed", "This method is not for this path"


class BodyTooLarge(ImagesvcError):
    """The body is larger than this route accepts. Uploaded files have other limits, which the upload routes list."""

    status, slug, title = 413, "body-too-large", "The request body is too large"


class RequestTimeout(ImagesvcError):
    """Answered by the shipped proxy only: no complete request arrived within its timeout. Send the request again."""

    status, slug, title = 408, "request-timeout", "The request did not arrive in time"


class UrlTooLong(ImagesvcError):
    """Answered by the shipped proxy only. Send long texts as fields of a form or in JSON instead of in the query."""

    status, slug, title = 414, "url-too-long", "The URL is too long"


class HeadersTooLarge(ImagesvcError):
    """Answered by the shipped proxy only: a header such as ``Upload-Metadata`` or ``Cookie`` exceeds its limit."""

    status, slug, title = 431, "headers-too-large", "The request headers are too large"


_BY_STATUS: dict[int, type[ImagesvcError]] = {
    kind.status: kind
    for kind in (
        errors.Malformed,
        errors.Unauthenticated,
        errors.Forbidden,
        errors.NotFound,
        MethodNotAllowed,
        errors.Conflict,
        errors.PreconditionFailed,
        BodyTooLarge,
        errors.Invalid,
        errors.Unavailable,
    )
}


def as_problem(error: ImagesvcError, *, instance: str | None = None) -> JsonObject:
    """The problem document of a failure, for an answer or for a member of one (the results of an upload)."""
    problem: JsonObject = {"type": f"/problems/{error.slug}", "title": error.title, "status": error.status}
    if error.detail is not None:
        problem["detail"] = error.detail
    if instance is not None:
        problem["instance"] = instance
    return problem | {name: value for name, value in error.extra.items() if name not in problem}


def answer_for(error: ImagesvcError, scope: Scope) -> Response:
    """The answer: status, problem document and headers."""
    headers = {"Cache-Control": "no-store", **error.headers}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers.setdefault("WWW-Authenticate", "Bearer")
    if error.retry_after_seconds is not None:
        headers.setdefault("Retry-After", str(error.retry_after_seconds))
    state = scope.setdefault("state", {})
    state["problem"] = error.slug
    count_problem(error.slug)
    return _answer(as_problem(error, instance=state.get("request_id")), error.status, headers)


def _answer(problem: JsonObject, status: int, headers: dict[str, str]) -> Response:
    # Names and values from a request may contain lone surrogates, which are written as JSON escapes.
    body = json.dumps(problem, ensure_ascii=False, default=str).encode(errors="backslashreplace")
    return Response(body, status, headers, media_type=MEDIA_TYPE)


def register(app: FastAPI) -> None:
    """Make ``app`` answer all failures with problems. ``request_context.py`` answers unexpected exceptions."""
    app.exception_handlers.update(
        {
            ImagesvcError: _expected,
            RequestValidationError: _invalid,
            ResponseValidationError: _invalid_answer,
            HTTPException: _http_exception,
            ClientDisconnect: _disconnected,
            PoolTimeout: _database_busy,
        }
    )
    # Starlette builds its redirect for a trailing slash from the Host header.
    app.router.redirect_slashes = False
    app.include_router(router)


async def _expected(request: Request, error: ImagesvcError) -> Response:
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request failed", problem=error.slug, detail=error.detail, cause=error.__cause__)
    return answer_for(error, request.scope)


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    return answer_for(failure_of(error, request.headers.get("content-type")), request.scope)


async def _invalid_answer(request: Request, error: ResponseValidationError) -> Response:
    """An answer that violates its own schema. Its values are not logged, because they may be confidential."""
    wrong = [{"type": item["type"], "at": item["loc"]} for item in error.errors()]
    log.error("answer violates its schema", errors=wrong, endpoint=error.endpoint_function)
    return answer_for(ImagesvcError(), request.scope)


async def _http_exception(request: Request, error: HTTPException) -> Response:
    if isinstance(error.__cause__, ClientDisconnect):  # FastAPI raises 400 for it when it reads the body
        return _NoAnswer()
    kind = _BY_STATUS.get(error.status_code)
    headers = dict(error.headers or {})
    detail = None if error.detail in (None, _phrase(error.status_code)) else str(error.detail)
    if kind is None:
        problem = {"type": "about:blank", "title": _phrase(error.status_code), "status": error.status_code}
        instance = request.scope.get("state", {}).get("request_id")
        problem |= {"detail": detail} if detail else {}
        return _answer(problem | {"instance": instance}, error.status_code, headers)
    if kind is MethodNotAllowed:
        headers["Allow"] = ", ".join(sorted(_methods_of_path(request))) or headers.get("Allow", "")
    return answer_for(kind(detail, headers=headers), request.scope)


async def _database_busy(request: Request, _error: PoolTimeout) -> Response:
    return answer_for(DatabaseBusy(), request.scope)


async def _disconnected(_request: Request, _error: ClientDisconnect) -> Response:
    return _NoAnswer()


class _NoAnswer(Response):
    """Sends nothing, because the client has disconnected. The access log records it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pass


def _methods_of_path(request: Request) -> set[str]:
    """The methods of all routes with this path. Starlette's ``Allow`` has only those of the first one."""
    path = route_path(request.scope)
    methods: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        pattern = getattr(route, "path_regex", None)
        if pattern is not None and pattern.match(path):
            methods |= route.methods or set()
    return methods


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def problems(*kinds: type[ImagesvcError]) -> Responses:
    """The ``responses=`` of a route with these failures. Failures with the same status share an entry."""
    responses: Responses = {}
    for kind in kinds:
        response = responses.setdefault(
            kind.status, {"description": "", "content": {MEDIA_TYPE: {"schema": SCHEMA_REF, "examples": {}}}}
        )
        if kind.slug in response["content"][MEDIA_TYPE]["examples"]:
            continue
        response["description"] = " · ".join(filter(None, (response["description"], kind.title)))
        example = {"summary": kind.title, "value": as_problem(kind(), instance="4bf92f3577b34da6a3ce929d0e0e4736")}
        response["content"][MEDIA_TYPE]["examples"][kind.slug] = example
        if headers := _headers_of(kind):
            response["headers"] = headers
    return responses


def _headers_of(kind: type[ImagesvcError]) -> JsonObject:
    names = {401: "WWW-Authenticate", 405: "Allow", 416: "Content-Range", 429: "Retry-After", 503: "Retry-After"}
    name = names.get(kind.status)
    return {name: {"schema": {"type": "string"}}} if name else {}


router = APIRouter()


EXPLANATION: Responses = {
    200: {
        "content": {
            "application/json": {
                "example": {
                    "type": "/problems/file-too-large",
                    "title": "The file is larger than allowed",
                    "status": 413,
                    "description": "The file is larger than allowed",
                }
            }
        }
    }
}


@router.get("/problems/{slug}", tags=["about"], responses={**EXPLANATION, **problems(errors.NotFound)})
async def explain_problem(slug: str) -> JSONResponse:
    """Explains the `type` of a problem."""
    kinds = [kind for kind in _kinds(ImagesvcError) if kind.slug == slug]
    if not kinds:
        raise errors.NotFound("There is no problem type with this name.")
    # Several failures may share a slug; the most general class has the explanation.
    kind = kinds[0]
    explanation = inspect.cleandoc(kind.__dict__.get("__doc__") or kind.title)
    return JSONResponse(
        {"type": f"/problems/{slug}", "title": kind.title, "status": kind.status, "description": explanation}
    )


def _kinds(root: type[ImagesvcError]) -> Iterator[type[ImagesvcError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _kinds(kind)
