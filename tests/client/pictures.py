"""Files that pass for pictures at the door, each with other bytes."""

import os
from pathlib import Path

HEAD = bytes.fromhex("ffd8ffe000104a46494600010100000100010000")


def content(size: int = 2000) -> bytes:
    return HEAD + os.urandom(size - len(HEAD))


def fill(folder: Path, count: int, *, size: int = 2000) -> Path:
    """The folder with that many files of other contents in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"p{number:03}.jpg").write_bytes(content(size))
    return folder
