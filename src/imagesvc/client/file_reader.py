"""Reads a file once, for its hash and, if it is small, its bytes. Rejects a file that changes while it is read."""

import dataclasses
import os
import stat
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from imagesvc.client.errors import FileUnreadable

CHUNK_BYTES = 256 * 1024
CHANGED = "it changed while it was read"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A file and its state when it was last looked at; the same size and time of change mean the same content."""

    path: Path
    size: int
    modified_ns: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FileContents:
    """A file that was read. ``data`` is None when only the hash was kept."""

    file: LocalFile
    sha256: str
    data: bytes | None = None

    @property
    def filename(self) -> str:
        """The name as sent to the service; bytes that are not UTF-8 are replaced."""
        return os.fsencode(self.file.path.name).decode("utf-8", "replace")


def stat_file(path: Path) -> LocalFile:
    """Raises FileUnreadable."""
    try:
        return _local_file(path, os.stat(path))
    except OSError as error:
        raise FileUnreadable(error.strerror or type(error).__name__) from error


def read_into_memory(file: LocalFile) -> FileContents:
    """Read hash and bytes. Raises FileUnreadable."""
    try:
        with open(file.path, "rb") as opened:
            before = _local_file(file.path, os.fstat(opened.fileno()))
            data = opened.read(before.size + 1)
            after = _local_file(file.path, os.fstat(opened.fileno()))
    except OSError as error:
        raise FileUnreadable(error.strerror or type(error).__name__) from error
    if after != before or len(data) != before.size:
        raise FileUnreadable(CHANGED)
    return FileContents(file=before, sha256=sha256(data).hexdigest(), data=data)


def read_hash(file: LocalFile, *, is_stopping: Callable[[], bool] = lambda: False) -> FileContents:
    """Read the hash only. Raises FileUnreadable, also when ``is_stopping``, called after each chunk, returns true."""
    digest, buffer = sha256(), memoryview(bytearray(CHUNK_BYTES))
    try:
        with open(file.path, "rb", buffering=0) as opened:
            before = _local_file(file.path, os.fstat(opened.fileno()))
            while count := opened.readinto(buffer):
                digest.update(buffer[:count])
                if is_stopping():
                    raise FileUnreadable("reading was stopped")
            after = _local_file(file.path, os.fstat(opened.fileno()))
    except OSError as error:
        raise FileUnreadable(error.strerror or type(error).__name__) from error
    if after != before:
        raise FileUnreadable(CHANGED)
    return FileContents(file=before, sha256=digest.hexdigest())


def _local_file(path: Path, status: os.stat_result) -> LocalFile:
    if stat.S_ISDIR(status.st_mode):
        raise FileUnreadable("it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise FileUnreadable("it is not a regular file")
    return LocalFile(path=path, size=status.st_size, modified_ns=status.st_mtime_ns)
