"""A shorter way to the routes that are called most: FastAPI documents them, and serves them no longer.

Finding a route among all routers, solving dependencies that are not there and closing stacks that hold nothing costs
half a millisecond a request (docs/performance.md), a fifth of what taking in a small file costs. A direct route is its
documented twin's path and function, looked at before all others.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, compile_path
from starlette.types import Receive, Scope, Send

Endpoint = Callable[..., Awaitable[Response]]
"""Takes the request and the parameters of the path, as text; returns the whole answer."""


def serve_directly(app: FastAPI, *endpoints: Endpoint) -> None:
    """Serve the routes of these functions, which `app` has already, without what FastAPI does around a function.

    Raises ValueError for a function that is no route.
    """
    documented = {context.endpoint: context for context in iter_route_contexts(app.routes)}
    for endpoint in endpoints:
        if (twin := documented.get(endpoint)) is None:
            raise ValueError(f"{endpoint.__name__} is no route")
        app.router.routes.insert(0, DirectRoute(twin.path or "", frozenset(twin.methods or ()), endpoint))


class DirectRoute(BaseRoute):
    def __init__(self, path: str, methods: frozenset[str], endpoint: Endpoint) -> None:
        self.path, self.methods, self.endpoint = path, methods, endpoint
        self.path_regex, self.path_format, _ = compile_path(path)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or scope["method"] not in self.methods:
            return Match.NONE, {}
        match = self.path_regex.match(scope["path"].removeprefix(scope.get("root_path", "")))
        if match is None:
            return Match.NONE, {}
        return Match.FULL, {"route": self, "endpoint": self.endpoint, "path_params": match.groupdict()}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.endpoint(Request(scope, receive, send), **scope["path_params"])
        await response(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        raise NotImplementedError("a direct route has no name: its twin has")
