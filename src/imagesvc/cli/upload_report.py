"""The output of `imagesvc upload`: a progress bar on a terminal, JSON lines, or a line for each failed file.

stdout has the results (``--json``) or the summary; stderr has the progress and the failures.
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

from imagesvc.cli.errors import EXIT_FAILED, printable
from imagesvc.client.excludes import Excludes
from imagesvc.client.file_reader import LocalFile
from imagesvc.client.files import find_files
from imagesvc.client.models import Problem
from imagesvc.client.results import FileResult, Listeners

MAX_FAILURE_LINES = 50
"""The summary has the number of all failures."""


class UploadReport:
    def __init__(self, named: Sequence[Path], excludes: Excludes, *, as_json: bool, is_dry: bool) -> None:
        self._named, self._excludes, self._as_json, self._is_dry = named, excludes, as_json, is_dry
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar: UploadBar | None = None
        self._started_at = time.monotonic()
        self._counts: Counter[str] = Counter()
        self._skipped_suffixes: Counter[str] = Counter()
        self._sent_bytes = self._failure_lines = 0
        self.listeners = Listeners(on_result=self._on_result, on_bytes=self._on_bytes)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar = UploadBar(self._console, self._named, self._excludes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if kind is None:
            self._print_skipped()
            self._print_summary(self._summary())

    @property
    def exit_code(self) -> int:
        return EXIT_FAILED if self._counts["rejected"] + self._counts["unreadable"] else 0

    def interrupted(self, *, can_resume: bool, is_unavailable: bool) -> None:
        """Print why the run ended early, and how to resume it."""
        if self._bar is not None:
            self._bar.stop()
        reason = "the server is unavailable" if is_unavailable else "interrupted"
        resume = "; run the same command again to resume" if can_resume and not self._is_dry else ""
        progress = self._summary() if self._counts else "nothing was sent"
        self._console.print(f"[yellow]![/] {reason}: {progress}{resume}")

    def _on_result(self, result: FileResult) -> None:
        self._counts[result.status] += 1
        if result.is_sent or result.status == "missing":
            self._sent_bytes += result.size
        if self._as_json:
            sys.stdout.write(_json_line(result))
            sys.stdout.flush()
        if self._bar is not None:
            self._bar.add_result(result)
        if result.status == "skipped":
            self._skipped_suffixes[result.path.suffix.lower() or "no suffix"] += 1
        elif result.problem is not None and not (self._as_json and self._bar is None):
            self._print_failure(result.path, result.problem)

    def _on_bytes(self, path: Path, count: int) -> None:
        if self._bar is not None:
            self._bar.add_bytes(path, count)

    def _print_failure(self, path: Path, problem: Problem) -> None:
        self._failure_lines += 1
        if self._failure_lines > MAX_FAILURE_LINES:
            return
        self._console.print(f"[red]✗[/] {escape(f'{printable(path)}: {printable(problem.message)}')}")
        if self._failure_lines == MAX_FAILURE_LINES:
            self._console.print("[dim]  (further failures are not listed)[/]")

    def _print_skipped(self) -> None:
        if not self._skipped_suffixes or (self._as_json and self._bar is None):
            return
        kinds = [f"{count} {printable(suffix)}" for suffix, count in self._skipped_suffixes.most_common(5)]
        rest = self._skipped_suffixes.total() - sum(count for _, count in self._skipped_suffixes.most_common(5))
        listed = ", ".join([*kinds, *([f"{rest} others"] if rest else [])])
        self._console.print(escape(f"skipped {self._counts['skipped']} files that are not images: {listed}"))

    def _summary(self) -> str:
        counts, seconds = self._counts, time.monotonic() - self._started_at
        if not counts:
            return "no files" if self._is_dry else "no files to send"
        present = f"{counts['duplicate']} already present"
        if self._is_dry:
            items = [f"{counts['missing']} to send ({decimal(self._sent_bytes)})", present]
        else:
            items = [f"{counts['created']} new", present]
        items += [f"{counts[status]} {status}" for status in ("skipped", "rejected", "unreadable") if counts[status]]
        if not self._is_dry:
            items.append(f"{decimal(self._sent_bytes)} sent in {seconds:.1f} s")
        return ", ".join(items)

    def _print_summary(self, line: str) -> None:
        if not self._as_json:
            sys.stdout.write(f"{line}\n")
        elif self._bar is not None:
            self._console.print(line)


class UploadBar:
    """One progress bar, by bytes; its total grows while a thread counts the files in the folders."""

    def __init__(self, console: Console, named: Sequence[Path], excludes: Excludes) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[done]} of {task.fields[files]}"),
            BarColumn(bar_width=None),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._partial_bytes: Counter[Path] = Counter()
        self._done = 0
        self._is_stopped = False
        self._bar = self._progress.add_task("", total=None, done=0, files="…")
        self._progress.start()
        threading.Thread(target=self._count, args=(named, excludes), daemon=True).start()

    def stop(self) -> None:
        self._is_stopped = True
        self._progress.stop()

    def add_bytes(self, path: Path, count: int) -> None:
        """Bytes of an unfinished large file; negative for bytes that did not arrive."""
        self._partial_bytes[path] += count
        self._progress.advance(self._bar, count)

    def add_result(self, result: FileResult) -> None:
        self._done += 1
        self._progress.advance(self._bar, result.size - self._partial_bytes.pop(result.path, 0))
        self._progress.update(self._bar, done=self._done)

    def _count(self, named: Sequence[Path], excludes: Excludes) -> None:
        files = total = 0
        for found in find_files(named, excludes):
            if self._is_stopped:
                return
            files += 1
            total += found.size if isinstance(found, LocalFile) else 0
            if files % 1000 == 0:
                self._progress.update(self._bar, total=total, files=f"{files}…")
        self._progress.update(self._bar, total=total, files=files)


def _json_line(result: FileResult) -> str:
    """ASCII; a name that is not UTF-8 has lone surrogates, which ``os.fsencode`` turns back into the name."""
    receipt = result.receipt
    return (
        json.dumps(
            {
                "path": str(result.path),
                "status": result.status,
                "bytes": result.size,
                "sha256": result.sha256,
                "sent": result.is_sent,
                "upload_id": receipt.upload_id if receipt else None,
                "image_id": receipt.image_id if receipt else None,
                "url": receipt.url if receipt else None,
                "problem": result.problem.to_document() if result.problem else None,
            }
        )
        + "\n"
    )
