"""Paths in answers, below the path of ``IMAGESVC_PUBLIC_URL``: a service at ``https://host/img`` answers ``/img/v1/…``.

A proxy may remove the prefix from requests or leave it in place. The prefix is in the context of each request, because
JSON is built in functions that know no request. Problem types are identifiers and have no prefix.
"""

from contextvars import ContextVar

from starlette.types import Scope

_PREFIX: ContextVar[str] = ContextVar("public_path_prefix", default="")


def enter_prefix(scope: Scope, prefix: str) -> None:
    """Called by the middleware at the start of a request. ``root_path`` makes routes match with and without prefix."""
    scope["root_path"] = prefix
    _PREFIX.set(prefix)


def public_path(path: str) -> str:
    """The path as clients see it. ``path`` is that of a route, starting with a slash, or empty for the prefix alone."""
    return _PREFIX.get() + path


def route_path(scope: Scope) -> str:
    """The path of a request without the prefix."""
    path: str = scope["path"]
    prefix: str = scope.get("root_path", "")
    return path[len(prefix) :] if prefix and path.startswith(f"{prefix}/") else path
