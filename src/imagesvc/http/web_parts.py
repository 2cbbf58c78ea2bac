"""Gives routes the parts of the web process (services, settings, cursors) by their type.

``main`` sets one immutable ``WebParts`` on the application at startup. A route declares what it needs::

    LinksPart = Annotated[Links, Depends(part(Links))]

Fast routes and dependencies, whose parameters FastAPI does not resolve, call ``web_part(request, Links)``.
"""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Annotated, TypeVar

from fastapi import Depends, FastAPI, Request

from imagesvc.settings import Settings

T = TypeVar("T")


class WebParts:
    """One part of each type. Nothing changes after construction."""

    __slots__ = ("_parts",)

    def __init__(self, *parts: object) -> None:
        """Raises ValueError for two parts of one type."""
        self._parts = {type(part): part for part in parts}
        if len(self._parts) != len(parts):
            raise ValueError("two parts have the same type")

    def get(self, kind: type[T]) -> T:
        """Raises LookupError when the process has no such part."""
        found = self._parts[kind]
        assert isinstance(found, kind)  # noqa: S101 - the key is its type
        return found


def set_parts(app: FastAPI, parts: WebParts) -> None:
    app.state.parts = parts


def web_part(request: Request, kind: type[T]) -> T:
    parts: WebParts = request.app.state.parts
    return parts.get(kind)


@cache
def part(kind: type[T]) -> Callable[[Request], Awaitable[T]]:
    """The FastAPI dependency for the part of this type."""

    async def dependency(request: Request) -> T:
        return web_part(request, kind)

    return dependency


SettingsPart = Annotated[Settings, Depends(part(Settings))]
