"""The data folder of `imagesvc up`: its owner, its lock, and the secrets and logs in it.

<data>/            0700; under root the service user owns it, so that PostgreSQL and no other account can enter it
  secrets/         0700, ours; one file (0600) per secret
  run/             0700, ours; the lock and the process registry
  logs/            0700, ours
  postgres/ …      one folder per server
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

from imagesvc.embedded.errors import EmbeddedError, FolderInUse
from imagesvc.embedded.service_user import ServiceUser, service_user

# sun_path of a Unix socket holds 107 bytes (unix(7)), and PostgreSQL names its socket .s.PGSQL.5432
MAX_SOCKET_FOLDER_BYTES = 107 - len("/.s.PGSQL.5432")
URL_SAFE_PATH = re.compile(r"[A-Za-z0-9/._-]+")


class DataFolder:
    """Creates and locks the folder; ``close`` releases the lock.

    Raises EmbeddedError when the folder belongs to something or someone else, FolderInUse when it is locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))
        if self.path.is_dir():
            _require_own_data_folder(self.path)
        self.service_user = service_user()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.service_user is not None:
            os.chown(self.path, self.service_user.uid, self.service_user.gid)
        self.path.chmod(0o700)
        self.secrets = self.private_folder(self.path / "secrets")
        self.run = self.private_folder(self.path / "run")
        self.logs = self.private_folder(self.path / "logs")
        self._lock = self._take_lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock, and delete the socket folders that are outside the data folder."""
        for folder in self._external_socket_folders():
            shutil.rmtree(folder, ignore_errors=True)
        os.close(self._lock)

    def private_folder(self, path: Path, *, owner: ServiceUser | None = None) -> Path:
        """Create ``path`` if needed, as a folder (0700) of ``owner``, by default of this process's user.

        Raises EmbeddedError when ``path`` is something else. The service user owns the data folder, so a compromised
        PostgreSQL could replace one of our folders by a link.
        """
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
            if owner is not None:
                os.chown(path, owner.uid, owner.gid)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != (os.geteuid() if owner is None else owner.uid):
            raise EmbeddedError(f"{path} is not the folder that imagesvc created: it belongs to another account")
        path.chmod(0o700)
        return path

    def get_or_create_secret(self, name: str, make: Callable[[], str]) -> str:
        """The secret ``name``; on the first call ``make`` creates it."""
        path = self.secrets / name
        with contextlib.suppress(FileNotFoundError):
            return path.read_text().strip()
        value = make()
        # written and synced under another name first: a partial secret would make the data unreadable for us
        fresh = self.secrets / f"{name}.new"
        write_private(fresh, value + "\n")
        fresh.rename(path)
        return value

    def socket_folder(self, name: str, *, owner: ServiceUser | None) -> Path:
        """The folder for the Unix socket of the server ``name``.

        It is in the data folder, or in a short temporary folder when that path is too long for a socket or has
        characters that a connection URL would have to escape.
        """
        inside = self.path / name / "run"
        if len(os.fsencode(inside)) <= MAX_SOCKET_FOLDER_BYTES and URL_SAFE_PATH.fullmatch(str(inside)):
            self.private_folder(inside.parent, owner=owner)
            return self.private_folder(inside, owner=owner)
        for stale in self._external_socket_folders(name):
            shutil.rmtree(stale, ignore_errors=True)
        outside = Path(tempfile.mkdtemp(prefix=f"{self._external_prefix(name)}.", dir=_external_parent(owner)))
        if owner is not None:
            os.chown(outside, owner.uid, owner.gid)
        return outside

    def _external_socket_folders(self, name: str = "") -> list[Path]:
        """Socket folders of this data folder, outside of it, that we or the service user own."""
        trusted = {os.geteuid(), self.service_user.uid if self.service_user else os.geteuid()}
        parents = {_external_parent(None), _external_parent(self.service_user)}
        found = [path for parent in parents for path in parent.glob(f"{self._external_prefix(name)}*")]
        return [path for path in found if path.lstat().st_uid in trusted and not path.is_symlink()]

    def _external_prefix(self, name: str) -> str:
        return f"imagesvc-{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]}-{name}"

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
    """Write a file (0600) that only this user can read, and sync it to disk."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _external_parent(owner: ServiceUser | None) -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    # only its owner can enter XDG_RUNTIME_DIR, so the service user cannot use it
    if owner is None and len(runtime) in range(1, 40) and Path(runtime).is_dir():
        return Path(runtime)
    return Path("/tmp")  # noqa: S108


def _require_own_data_folder(path: Path) -> None:
    """Raises EmbeddedError for a folder with other contents or of another account: its mode would be changed."""
    entries = {entry.name for entry in os.scandir(path)}
    if not entries:
        return
    if "secrets" not in entries:
        raise EmbeddedError(
            f"{path} is not empty and not a data folder of imagesvc: choose another folder with --data-dir"
        )
    owner = (path / "secrets").lstat().st_uid
    if owner != os.geteuid():
        raise EmbeddedError(
            f"{path} belongs to another account (uid {owner}): run as that account, or use another --data-dir"
        )
