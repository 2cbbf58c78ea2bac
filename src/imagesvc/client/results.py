"""How each file of a run fares, and who is told."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from imagesvc.client.models import Problem, Sent

Status = Literal["created", "duplicate", "missing", "rejected", "unreadable"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one file fared. ``is_sent``: its bytes went out in this run. ``missing`` is what a dry run would send."""

    path: Path
    status: Status
    size: int = 0
    sha256: str | None = None
    is_sent: bool = False
    sent: Sent | None = None
    problem: Problem | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """``on_outcome`` once a file; ``on_bytes`` while a large one is sent, with bytes more or, after a cut, fewer."""

    on_outcome: Callable[[Outcome], None]
    on_bytes: Callable[[Path, int], None] = lambda _path, _count: None
