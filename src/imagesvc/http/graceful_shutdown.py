"""Graceful shutdown: running requests may finish for a while, then the remaining ones get 503.

The listener is closed by then, so no new requests arrive. A request whose answer has not started gets 503 with
``Retry-After``: its work is rolled back, or kept for resumable uploads. A request in the middle of its answer is cut
off.
"""

import asyncio

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagesvc.errors import Unavailable
from imagesvc.http.problems import answer_for


class ServerStops(Unavailable):
    slug, title = "server-stops", "This server is shutting down: send the request again"
    retry_after_seconds = 1


class RunningRequests:
    """The running requests of this process."""

    def __init__(self) -> None:
        self.is_over = False
        self._tasks: set[asyncio.Task[object]] = set()

    def add(self, task: asyncio.Task[object]) -> None:
        self._tasks.add(task)

    def discard(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)

    def end(self) -> None:
        """Cancel all running requests."""
        self.is_over = True
        for task in self._tasks:
            task.cancel()


class GracefulShutdown:
    """The middleware that tracks running requests and answers 503 for cancelled ones."""

    def __init__(self, app: ASGIApp, *, under_way: RunningRequests) -> None:
        self.app = app
        self.under_way = under_way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        if scope["type"] != "http" or task is None:
            await self.app(scope, receive, send)
            return
        is_answering = False

        async def watched(message: Message) -> None:
            nonlocal is_answering
            is_answering = True
            await send(message)

        self.under_way.add(task)
        try:
            await self.app(scope, receive, watched)
        except asyncio.CancelledError:
            if is_answering or not self.under_way.is_over:
                raise
            task.uncancel()
            await answer_for(ServerStops(), scope)(scope, receive, send)
        finally:
            self.under_way.discard(task)


def register(app: FastAPI) -> None:
    """Wrap everything that ``app`` has so far. ``app.state.under_way`` holds the running requests."""
    app.state.under_way = RunningRequests()
    app.add_middleware(GracefulShutdown, under_way=app.state.under_way)
