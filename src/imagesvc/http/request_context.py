"""Adds to every answer a request id, security headers, an access log line, and a problem for unexpected exceptions.

Pure ASGI, because Starlette's ``BaseHTTPMiddleware`` buffers between a route and its stream. The request id is always
generated here, because one that a caller chooses could collide. The caller's ``X-Request-Id`` is logged beside it.
"""

import os
import re
from time import perf_counter

import structlog
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagesvc.errors import ImagesvcError
from imagesvc.http.early_response import EarlyResponse
from imagesvc.http.problems import answer_for
from imagesvc.http.public_path import enter_prefix
from imagesvc.metrics.instruments import count_request

_SAFE_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
_SANE_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")
# Requested every few seconds by probes and scrapers, so logged at DEBUG.
_QUIET_ROUTES = frozenset({"/livez", "/readyz", "/metrics"})


def register(
    app: FastAPI,
    *,
    path_prefix: str = "",
    max_body_bytes: int | None = None,
    max_discard_bytes: int = 16 << 20,
    max_discard_seconds: float = 3,
) -> None:
    """Wrap everything that ``app`` has so far in this middleware, and that in ``EarlyResponse``.

    A body over ``max_body_bytes`` is 413 on every route that does not call ``accept_large_body``.
    """
    app.add_middleware(RequestContext, max_body_bytes=max_body_bytes, path_prefix=path_prefix)
    app.add_middleware(EarlyResponse, max_bytes=max_discard_bytes, max_seconds=max_discard_seconds)


def accept_large_body(request: Request) -> None:
    """Disable the limit on the body for this request. The route streams it and enforces its own limits."""
    request.scope["state"]["accepts_large_body"] = True


def accept_body(request: Request, *, max_bytes: int) -> None:
    """Set another limit on the body for this request."""
    request.scope["state"]["max_body_bytes"] = max_bytes


class RequestContext:
    """The middleware. Sets ``request.state.request_id``; logs ``request.state.caller_id`` if a route has set it."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int | None = None, path_prefix: str = "") -> None:
        self.app = app
        self.path_prefix = path_prefix
        self.max_body_bytes = max_body_bytes
        self.log = structlog.get_logger("imagesvc.http").bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self.path_prefix:
            enter_prefix(scope, self.path_prefix)
        request_id = os.urandom(16).hex()
        scope.setdefault("state", {})["request_id"] = request_id
        # Not reset at the end, because the server logs escaping exceptions in the same context.
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        exchange = _Exchange(scope, receive, send, request_id, self.max_body_bytes)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except Exception:
            if exchange.status is not None:
                raise  # part of the answer is sent: the server cuts the connection, so that it is not taken as complete
            self.log.exception("request failed unexpectedly", method=scope["method"], route=route_template(scope))
            await answer_for(ImagesvcError(), scope)(scope, exchange.receive, exchange.send)
        finally:
            self._log_access(scope, exchange)

    def _log_access(self, scope: Scope, exchange: "_Exchange") -> None:
        state, client, route = scope["state"], scope.get("client"), route_template(scope)
        ended_at = exchange.ended_at or perf_counter()
        count_request(
            scope["method"],
            route,
            status=exchange.status,
            first_byte_seconds=exchange.first_byte_at - exchange.began_at if exchange.first_byte_at else None,
            seconds=ended_at - exchange.began_at,
        )
        fields: dict[str, object] = {
            "method": scope["method"],
            "route": route,
            "status": exchange.status,
            "milliseconds": round((ended_at - exchange.began_at) * 1000, 2),
            "bytes_in": exchange.bytes_in,
            "bytes_out": exchange.bytes_out,
            "client": client[0] if client else None,
        }
        if caller_id := state.get("caller_id"):
            fields["caller"] = str(caller_id)
        if problem := state.get("problem"):
            fields["problem"] = problem
        if exchange.ended_at is None:
            fields["unfinished"] = "client disconnected" if exchange.is_disconnected else "aborted"
        if (callers_own := exchange.callers_request_id) is not None:
            fields["caller_request_id"] = callers_own
        (self.log.debug if route in _QUIET_ROUTES else self.log.info)("request", **fields)


class _Exchange:
    """Counts the bytes of one request and its answer."""

    __slots__ = (
        "_declared_bytes",
        "_headers",
        "_max_body_bytes",
        "_receive",
        "_send",
        "_state",
        "began_at",
        "bytes_in",
        "bytes_out",
        "callers_request_id",
        "ended_at",
        "first_byte_at",
        "is_disconnected",
        "status",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str, max_body_bytes: int | None) -> None:
        self.began_at = perf_counter()
        self.first_byte_at: float | None = None
        self.ended_at: float | None = None
        self.status: int | None = None
        self.bytes_in = self.bytes_out = 0
        self.is_disconnected = False
        self.callers_request_id: str | None = None
        self._receive, self._send = receive, send
        self._state = scope["state"]
        self._headers = (*_SAFE_HEADERS, (b"x-request-id", request_id.encode()))
        self._max_body_bytes = max_body_bytes
        self._declared_bytes = 0
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                self._declared_bytes = int(value[:20])
            elif name == b"x-request-id" and _SANE_ID.fullmatch(value):
                self.callers_request_id = value.decode()

    async def receive(self) -> Message:
        if self._max_body_bytes is not None:
            self._refuse_large_body(self._declared_bytes)
        message = await self._receive()
        if body := message.get("body"):
            self.bytes_in += len(body)
            if self._max_body_bytes is not None:
                self._refuse_large_body(self.bytes_in)
        elif message["type"] == "http.disconnect":
            self.is_disconnected = True
        return message

    def _refuse_large_body(self, size: int) -> None:
        limit = self._state.get("max_body_bytes", self._max_body_bytes)
        if limit is not None and size > limit and not self._state.get("accepts_large_body"):
            # FastAPI turns any other exception while it reads a body into 400.
            raise HTTPException(413, f"This route accepts at most {limit} bytes.")

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.first_byte_at = message["status"], perf_counter()
            message["headers"] = [*message.get("headers", ()), *self._headers]
        else:
            self.bytes_out += len(message.get("body", b""))
            if not message.get("more_body", False):
                # Taken before sending: discarding input afterwards (early_response.py) does not count.
                self.ended_at = perf_counter()
        await self._send(message)


def route_template(scope: Scope) -> str | None:
    """The declared path, such as ``/u/{token}``; None if no route matched. A raw path is never logged."""
    # For a router that is included with a prefix, only this has the whole path.
    route = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    template: str | None = getattr(route, "path_format", None)
    return template
