"""An orderly stop: requests under way may end, for a while; what is left then is told to come again.

The listener is closed by then, so nothing new comes. A request that has not begun its answer gets 503 with
``Retry-After``: what it had begun is undone, or kept where that is its way (resumable uploads). One that is in the
middle of its answer is cut.
"""

import asyncio

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagesvc.errors import Unavailable
from imagesvc.http.problems import answer_for


class ServerStops(Unavailable):
    slug, title = "server-stops", "This server is being stopped: ask again, another one answers"
    retry_after_seconds = 1


class RunningRequests:
    """The requests under way in this process."""

    def __init__(self) -> None:
        self.is_over = False
        self._tasks: set[asyncio.Task[object]] = set()

    def add(self, task: asyncio.Task[object]) -> None:
        self._tasks.add(task)

    def discard(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)

    def end(self) -> None:
        """Their time is over."""
        self.is_over = True
        for task in self._tasks:
            task.cancel()


class GracefulShutdown:
    """The middleware."""

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
    """Around everything that `app` has so far; ``app.state.under_way`` ends what is under way."""
    app.state.under_way = RunningRequests()
    app.add_middleware(GracefulShutdown, under_way=app.state.under_way)
