"""Serves the busiest routes without FastAPI's routing. FastAPI still documents them.

Route lookup and the resolution of dependencies cost 0.46 of the 2.79 ms that an upload of 100 kB takes (measured in
docs/decisions/0014). A fast route has the path and the function of its documented route, and is matched before all
others. The exception handlers of the app answer what it raises.

A route may be a fast route only if it is called for every file that arrives, needs no FastAPI dependency, and a
measurement shows what that saves. Today these are the two upload routes of a link.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from imagesvc.http.public_path import route_path

Handlers = dict[Any, Callable[[Request, Any], Any]]
"""Starlette's type of ``exception_handlers``"""
Endpoint = Callable[..., Awaitable[Response]]
"""Takes the request and the path parameters as text; returns the whole answer."""


def serve_fast(app: FastAPI, *endpoints: Endpoint) -> None:
    """Serve the routes of these functions, which ``app`` already has, as fast routes.

    Middleware that is added later wraps them. Raises ValueError for a function that is not a route.
    """
    documented = {context.endpoint: context for context in iter_route_contexts(app.routes)}
    routes = []
    for endpoint in endpoints:
        if (twin := documented.get(endpoint)) is None:
            raise ValueError(f"{endpoint.__name__} is not a route")
        routes.append(FastRoute(twin.path or "", frozenset(twin.methods or ()), endpoint))
    app.add_middleware(FastRoutes, routes=routes, handlers=app.exception_handlers)


class FastRoute:
    __slots__ = ("endpoint", "match", "methods", "path_format")

    def __init__(self, path: str, methods: frozenset[str], endpoint: Endpoint) -> None:
        pattern, self.path_format, _ = compile_path(path)
        self.match, self.methods, self.endpoint = pattern.match, methods, endpoint


class FastRoutes:
    def __init__(self, app: ASGIApp, *, routes: list[FastRoute], handlers: Handlers) -> None:
        self.app, self.routes, self.handlers = app, routes, handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = route_path(scope)
            for route in self.routes:
                if scope["method"] in route.methods and (found := route.match(path)):
                    scope["route"], scope["path_params"] = route, found.groupdict()
                    response = await self._answer(route, Request(scope, receive))
                    await response(scope, receive, send)
                    return
        await self.app(scope, receive, send)

    async def _answer(self, route: FastRoute, request: Request) -> Response:
        try:
            return await route.endpoint(request, **request.path_params)
        except Exception as error:
            handler = next((self.handlers[kind] for kind in type(error).__mro__ if kind in self.handlers), None)
            if handler is None:
                raise
            response: Response = await handler(request, error)
            return response
