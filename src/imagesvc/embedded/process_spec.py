"""Describes one supervised process: how to start it, how to check that it is ready, and how to stop it."""

import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imagesvc.embedded.service_user import ServiceUser


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One process for the supervisor.

    ``argv`` never contains a secret: other users can list it. ``folder`` is the working folder. Without ``log``, it
    writes where the supervisor writes. ``inherited`` are descriptors that it keeps open.
    ``leftovers`` are files that an unclean exit leaves behind; the supervisor deletes them.
    The kernel sends ``orphan_signal`` to the process when the supervisor dies without stopping it.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    folder: Path
    log: Path | None
    ready: Callable[[], Awaitable[bool]]
    user: ServiceUser | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    start_seconds: float = 60.0
    orphan_signal: signal.Signals = signal.SIGKILL
    leftovers: tuple[Path, ...] = field(default=())
    inherited: tuple[int, ...] = ()


def server_environment(home: Path) -> dict[str, str]:
    """The environment of a local server: none of our secrets, and no settings of the user's shell."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "HOME": str(home), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
