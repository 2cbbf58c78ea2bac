"""What a file holds, read once: its hash and, if it is small, its bytes. A file that changes meanwhile is not taken."""

import dataclasses
import os
import stat
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from imagesvc.client.errors import FileUnusable

CHUNK_BYTES = 256 * 1024


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file as it was seen last; one with the same size and time is taken for unchanged."""

    path: Path
    size: int
    modified_ns: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """``data`` is None when only the hash was kept."""

    found: Found
    sha256: str
    data: bytes | None = None

    @property
    def filename(self) -> str:
        """As it is told to the service: a name in broken UTF-8 is a name all the same."""
        return os.fsencode(self.found.path.name).decode("utf-8", "replace")


def look_at(path: Path) -> Found:
    """Raises FileUnusable."""
    try:
        return _found(path, os.stat(path))
    except OSError as error:
        raise FileUnusable(error.strerror or type(error).__name__) from error


def read_into_memory(found: Found) -> Contents:
    """Hash and bytes. Raises FileUnusable."""
    try:
        with open(found.path, "rb") as file:
            seen = _found(found.path, os.fstat(file.fileno()))
            data = file.read(seen.size + 1)
            after = _found(found.path, os.fstat(file.fileno()))
    except OSError as error:
        raise FileUnusable(error.strerror or type(error).__name__) from error
    if after != seen or len(data) != seen.size:
        raise FileUnusable("it is being written")
    return Contents(found=seen, sha256=sha256(data).hexdigest(), data=data)


def read_hash(found: Found, *, is_stopping: Callable[[], bool] = lambda: False) -> Contents:
    """The hash alone. Raises FileUnusable, also when ``is_stopping``, which is asked between chunks, says so."""
    digest, buffer = sha256(), memoryview(bytearray(CHUNK_BYTES))
    try:
        with open(found.path, "rb", buffering=0) as file:
            seen = _found(found.path, os.fstat(file.fileno()))
            while count := file.readinto(buffer):
                digest.update(buffer[:count])
                if is_stopping():
                    raise FileUnusable("nobody waits for it any more")
            after = _found(found.path, os.fstat(file.fileno()))
    except OSError as error:
        raise FileUnusable(error.strerror or type(error).__name__) from error
    if after != seen:
        raise FileUnusable("it is being written")
    return Contents(found=seen, sha256=digest.hexdigest())


def _found(path: Path, facts: os.stat_result) -> Found:
    if stat.S_ISDIR(facts.st_mode):
        raise FileUnusable("it is a folder")
    if not stat.S_ISREG(facts.st_mode):
        raise FileUnusable("it is no regular file")
    return Found(path=path, size=facts.st_size, modified_ns=facts.st_mtime_ns)
