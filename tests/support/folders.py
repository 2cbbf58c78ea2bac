"""Temporary folders that other accounts can enter."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

MEMORY = Path("/dev/shm")
MIN_FREE_BYTES = 4 * 1024**3


def make_open_folder(prefix: str, *, in_memory: bool = False) -> Path:
    """A new temporary folder (0711). Under root, PostgreSQL runs as another account and must reach its data folder.

    Folders of `tmp_path` do not qualify: pytest closes them to other accounts (0700). ``in_memory`` is a wish, granted
    where there is room.
    """
    has_room = in_memory and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MIN_FREE_BYTES
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if has_room else None))
    folder.chmod(0o711)
    return folder


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """Like ``make_open_folder``, deleted afterwards."""
    folder = make_open_folder("imagesvc-test-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
