"""Files that the service accepts as pictures by their first bytes; each has different content."""

import os
from pathlib import Path

HEAD = bytes.fromhex("ffd8ffe000104a46494600010100000100010000")


def content(size: int = 2000) -> bytes:
    return HEAD + os.urandom(size - len(HEAD))


def fill(folder: Path, count: int, *, size: int = 2000) -> Path:
    """Create ``count`` files of different content in ``folder`` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"p{number:03}.jpg").write_bytes(content(size))
    return folder
