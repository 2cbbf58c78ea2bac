"""The result of each file of a folder upload, and the callbacks that receive it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from imagesvc.client.models import Problem, Receipt

Status = Literal["created", "duplicate", "missing", "rejected", "skipped", "unreadable"]
"""``missing``: a dry run would have sent the file. ``skipped``: it was found in a folder and is not an image."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """The result of one file. ``is_sent``: this run transferred its bytes."""

    path: Path
    status: Status
    size: int = 0
    sha256: str | None = None
    is_sent: bool = False
    receipt: Receipt | None = None
    problem: Problem | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """``on_result`` is called once a file.

    ``on_bytes`` is called while a large file is sent, with the number of bytes added; after a broken connection it is
    negative.
    """

    on_result: Callable[[FileResult], None]
    on_bytes: Callable[[Path, int], None] = lambda _path, _count: None
