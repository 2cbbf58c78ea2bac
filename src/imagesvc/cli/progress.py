"""Shows the steps of a start: one animated line a step on a terminal, plain lines of finished steps elsewhere."""

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


class StepProgress:
    """Writes to stderr, so that stdout has the URL and the token only."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        # refreshed by the event loop: a refresh thread would exist when the supervisor forks
        self._live: Live | None = None
        self._spinners: dict[str, Spinner] = {}
        self._animation: asyncio.Task[None] | None = None

    async def step(self, title: str, work: Awaitable[T]) -> T:
        """Await ``work`` and print how long it took."""
        started_at = time.monotonic()
        self._show(title)
        try:
            result = await work
        finally:
            self._hide(title)
        self.print(f"[green]✓[/] {title} [dim]({time.monotonic() - started_at:.1f} s)[/]")
        return result

    def print(self, line: str) -> None:
        """Print a line, which may contain rich's markup."""
        self.console.print(line)

    def _show(self, title: str) -> None:
        if not self.console.is_terminal:
            return
        self._spinners[title] = Spinner("dots", title)
        if self._live is None:
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            self._live.start()
            self._animation = asyncio.create_task(self._animate(self._live))

    def _hide(self, title: str) -> None:
        self._spinners.pop(title, None)
        if not self._spinners and self._live is not None and self._animation is not None:
            self._animation.cancel()
            self._live.stop()
            self._live = None

    async def _animate(self, live: Live) -> None:
        while True:
            rows = Table.grid()
            for spinner in self._spinners.values():
                rows.add_row(spinner)
            live.update(rows, refresh=True)
            await asyncio.sleep(FRAME_SECONDS)
