"""What `imagesvc upload` tells: bars with rate and time left on a terminal, JSON lines, else a line for each failure.

stdout has the results (``--json``) or the summary, stderr all that is for people to watch.
"""

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from imagesvc.cli.connection import EXIT_REFUSED, printable
from imagesvc.client.file_reader import Found
from imagesvc.client.files import find
from imagesvc.client.results import Listeners, Outcome

MOST_LINES = 50
"""Of files that failed; a thousand for the same reason are told by their number."""
IN = ("created", "duplicate")


class Report:
    def __init__(self, named: Sequence[Path], *, as_json: bool, is_dry: bool) -> None:
        self._named, self._as_json, self._is_dry = named, as_json, is_dry
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bars: Bars | None = None
        self._began = time.monotonic()
        self._counts: Counter[str] = Counter()
        self._sent_bytes = self._lines = 0
        self.listeners = Listeners(on_outcome=self._on_outcome, on_bytes=self._on_bytes)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars = Bars(self._console, self._named)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
        if kind is None:
            self._say(self._summary())

    @property
    def exit_code(self) -> int:
        return EXIT_REFUSED if self._counts["rejected"] + self._counts["unreadable"] else 0

    def interrupted(self, *, can_go_on: bool, is_away: bool) -> None:
        """The run ends before its end."""
        if self._bars is not None:
            self._bars.stop()
        why = "the server is away" if is_away else "interrupted"
        how = "; the same command goes on from here" if can_go_on and not self._is_dry else ""
        so_far = self._summary() if self._counts else "nothing was sent yet"
        self._console.print(f"[yellow]![/] {why}: {so_far}{how}")

    def _on_outcome(self, outcome: Outcome) -> None:
        self._counts[outcome.status] += 1
        if outcome.is_sent or outcome.status == "missing":
            self._sent_bytes += outcome.size
        if self._as_json:
            sys.stdout.write(_json_line(outcome))
            sys.stdout.flush()
        if self._bars is not None:
            self._bars.ended(outcome)
        if outcome.problem is not None and not (self._as_json and self._bars is None):
            self._tell_failure(outcome)

    def _on_bytes(self, path: Path, count: int) -> None:
        if self._bars is not None:
            self._bars.moved(path, count)

    def _tell_failure(self, outcome: Outcome) -> None:
        self._lines += 1
        if self._lines > MOST_LINES:
            return
        assert outcome.problem is not None  # noqa: S101
        what = f"{printable(outcome.path)}: {printable(outcome.problem.told)}"
        self._console.print(f"[red]✗[/] {escape(what)}")
        if self._lines == MOST_LINES:
            self._console.print("[dim]  (more like these are not listed)[/]")

    def _summary(self) -> str:
        counts, seconds = self._counts, time.monotonic() - self._began
        if not counts:
            return "no files" if self._is_dry else "no files to send"
        if self._is_dry:
            told = [
                f"{counts['missing']} to send ({decimal(self._sent_bytes)})",
                f"{counts['duplicate']} there already",
            ]
        else:
            told = [f"{counts['created']} new", f"{counts['duplicate']} there already"]
        told += [f"{counts[status]} {status}" for status in ("rejected", "unreadable") if counts[status]]
        if not self._is_dry:
            told.append(f"{decimal(self._sent_bytes)} sent in {seconds:.1f} s")
        return ", ".join(told)

    def _say(self, line: str) -> None:
        if not self._as_json:
            sys.stdout.write(f"{line}\n")
        elif self._bars is not None:
            self._console.print(line)


class Bars:
    """One bar, by bytes; what there is in all grows while the folders are counted."""

    def __init__(self, console: Console, named: Sequence[Path]) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[done]} of {task.fields[files]}"),
            BarColumn(bar_width=None),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._moved: Counter[Path] = Counter()
        self._done = 0
        self._is_stopped = False
        self._bar = self._progress.add_task("", total=None, done=0, files="…")
        self._progress.start()
        threading.Thread(target=self._count, args=(named,), daemon=True).start()

    def stop(self) -> None:
        self._is_stopped = True
        self._progress.stop()

    def moved(self, path: Path, count: int) -> None:
        """Of a large file, before its end; a negative count for bytes that did not arrive."""
        self._moved[path] += count
        self._progress.advance(self._bar, count)

    def ended(self, outcome: Outcome) -> None:
        self._done += 1
        self._progress.advance(self._bar, outcome.size - self._moved.pop(outcome.path, 0))
        self._progress.update(self._bar, done=self._done)

    def _count(self, named: Sequence[Path]) -> None:
        files = total = 0
        for found in find(named):
            if self._is_stopped:
                return
            files += 1
            total += found.size if isinstance(found, Found) else 0
            if files % 1000 == 0:
                self._progress.update(self._bar, total=total, files=f"{files}…")
        self._progress.update(self._bar, total=total, files=files)


def _json_line(outcome: Outcome) -> str:
    """ASCII: a name in broken UTF-8 is told as well, with lone surrogates, of which ``os.fsencode`` makes the name."""
    sent = outcome.sent
    return (
        json.dumps(
            {
                "path": str(outcome.path),
                "status": outcome.status,
                "bytes": outcome.size,
                "sha256": outcome.sha256,
                "sent": outcome.is_sent,
                "upload_id": sent.upload_id if sent else None,
                "image_id": sent.image_id if sent else None,
                "url": sent.url if sent else None,
                "problem": outcome.problem.document() if outcome.problem else None,
            }
        )
        + "\n"
    )
