"""What a person sees while things start: a line a step, turning on a terminal; plain finished lines elsewhere."""

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

T = TypeVar("T")
FRAME_SECONDS = 0.1


class Progress:
    """On stderr, so that stdout has the URL and the token only."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        # refreshed by the event loop: a thread of its own would be there when the supervisor forks
        self._live: Live | None = None
        self._steps: dict[str, Spinner] = {}
        self._frames: asyncio.Task[None] | None = None

    async def step(self, title: str, work: Awaitable[T]) -> T:
        """Wait for ``work`` and say how long it took."""
        began = time.monotonic()
        self._begin(title)
        try:
            result = await work
        finally:
            self._end(title)
        self.say(f"[green]✓[/] {title} [dim]({time.monotonic() - began:.1f} s)[/]")
        return result

    def say(self, line: str) -> None:
        """A line of news, with rich's markup."""
        self.console.print(line)

    def _begin(self, title: str) -> None:
        if not self.console.is_terminal:
            return
        self._steps[title] = Spinner("dots", title)
        if self._live is None:
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            self._live.start()
            self._frames = asyncio.create_task(self._turn(self._live))

    def _end(self, title: str) -> None:
        self._steps.pop(title, None)
        if not self._steps and self._live is not None and self._frames is not None:
            self._frames.cancel()
            self._live.stop()
            self._live = None

    async def _turn(self, live: Live) -> None:
        while True:
            rows = Table.grid()
            for spinner in self._steps.values():
                rows.add_row(spinner)
            live.update(rows, refresh=True)
            await asyncio.sleep(FRAME_SECONDS)
