"""Temporary folders that other accounts can enter."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


def make_open_folder(prefix: str) -> Path:
    """A new temporary folder (0711). Under root, PostgreSQL runs as another account and must reach its data folder.

    Folders of `tmp_path` do not qualify: pytest closes them to other accounts (0700).
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix))
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
