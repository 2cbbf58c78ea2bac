"""The data folder of `imagesvc up`: who owns it, one user of it at a time, secrets and logs inside.

<data>/            0700; owned by the service user when we are root, so that PostgreSQL can get in and nobody else
  secrets/         0700 ours, one file (0600) a secret
  run/             0700 ours: the lock, the record of running processes
  logs/            0700 ours
  postgres/ …      one folder a server
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Self

from imagesvc.embedded.process_spec import EmbeddedError, ServiceUser, service_user

# sun_path holds 107 bytes, and PostgreSQL's socket is called .s.PGSQL.5432
LONGEST_SOCKET_FOLDER = 107 - len("/.s.PGSQL.5432")
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")


class FolderInUse(EmbeddedError):
    """Another `imagesvc up` works on this folder."""


class DataFolder:
    """Opened and locked until closed. Raises EmbeddedError when it is not ours, FolderInUse when it is taken."""

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))
        if self.path.is_dir():
            _refuse_strangers(self.path)
        self.service_user = service_user()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.service_user is not None:
            os.chown(self.path, self.service_user.uid, self.service_user.gid)
        self.path.chmod(0o700)
        self.secrets = self.own_folder(self.path / "secrets")
        self.run = self.own_folder(self.path / "run")
        self.logs = self.own_folder(self.path / "logs")
        self._lock = self._take_lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the next one in. What the sockets needed outside the folder goes."""
        for outside in self._outside():
            shutil.rmtree(outside, ignore_errors=True)
        os.close(self._lock)

    def own_folder(self, path: Path, *, owner: ServiceUser | None = None) -> Path:
        """``path`` as a folder (0700) of ``owner``, by default ourselves. Raises EmbeddedError when it is not.

        The service user owns the data folder, so it could put something else in the place of a folder of ours.
        """
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
            if owner is not None:
                os.chown(path, owner.uid, owner.gid)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != (os.geteuid() if owner is None else owner.uid):
            raise EmbeddedError(f"{path} is not the folder that imagesvc made: it belongs to another account")
        path.chmod(0o700)
        return path

    def keep(self, name: str, make: Callable[[], str]) -> str:
        """The secret called ``name``, made the first time."""
        path = self.secrets / name
        with contextlib.suppress(FileNotFoundError):
            return path.read_text().strip()
        value = make()
        # written whole and synced before it gets its name: half a secret would lock us out of our own data
        fresh = self.secrets / f"{name}.new"
        write_private(fresh, value + "\n")
        fresh.rename(path)
        return value

    def socket_folder(self, name: str, *, owner: ServiceUser | None) -> Path:
        """Where the server ``name`` puts its Unix socket: inside, or in a short temporary folder if the path is long.

        URLs carry the path as it is, so one with unusual characters gets the short folder too.
        """
        inside = self.path / name / "run"
        if len(os.fsencode(inside)) <= LONGEST_SOCKET_FOLDER and PLAIN_PATH.fullmatch(str(inside)):
            self.own_folder(inside.parent, owner=owner)
            return self.own_folder(inside, owner=owner)
        for left in self._outside(name):
            shutil.rmtree(left, ignore_errors=True)
        outside = Path(tempfile.mkdtemp(prefix=f"{self._outside_prefix(name)}.", dir=self._outside_parent(owner)))
        if owner is not None:
            os.chown(outside, owner.uid, owner.gid)
        return outside

    def _outside(self, name: str = "") -> list[Path]:
        """Socket folders of this data folder that are ours or the service user's."""
        trusted = {os.geteuid(), self.service_user.uid if self.service_user else os.geteuid()}
        parents = {self._outside_parent(None), self._outside_parent(self.service_user)}
        found = [path for parent in parents for path in parent.glob(f"{self._outside_prefix(name)}*")]
        return [path for path in found if path.lstat().st_uid in trusted and not path.is_symlink()]

    def _outside_prefix(self, name: str) -> str:
        return f"imagesvc-{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]}-{name}"

    @staticmethod
    def _outside_parent(owner: ServiceUser | None) -> Path:
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        # a runtime folder is its owner's alone: the service user could not pass it
        return (
            Path(runtime) if owner is None and len(runtime) in range(1, 40) and Path(runtime).is_dir() else Path("/tmp")  # noqa: S108
        )

    def _take_lock(self) -> int:
        lock = os.open(self.run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 32).decode().strip()
            os.close(lock)
            raise FolderInUse(
                f"imagesvc is already running on {self.path}" + (f" (process {holder})" if holder else "")
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        return lock


def write_private(path: Path, text: str) -> None:
    """A file (0600) that only we can read, on the disk when this returns."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _refuse_strangers(path: Path) -> None:
    """Refuse a folder that holds something else, or somebody else's data: we are about to change its rights."""
    entries = {entry.name for entry in os.scandir(path)}
    if not entries:
        return
    if "secrets" not in entries:
        raise EmbeddedError(f"{path} is not empty and not a data folder of imagesvc: name another with --data-dir")
    owner = (path / "secrets").lstat().st_uid
    if owner != os.geteuid():
        raise EmbeddedError(
            f"{path} belongs to another account (uid {owner}): run as that account, or use another --data-dir"
        )
