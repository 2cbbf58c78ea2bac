"""Finds the files to upload: the named ones, and all below the named folders, in the order of their names.

Below a named folder, names that begin with a dot and excluded names (``excludes.py``) are skipped, and so are entries
that are neither file nor folder. Symbolic links to folders are not followed, which rules out loops; a link to a file
counts as that file.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from imagesvc.client.errors import FileUnreadable
from imagesvc.client.excludes import Excludes
from imagesvc.client.file_reader import LocalFile, stat_file

FoundFile = LocalFile | tuple[Path, FileUnreadable]
"""A file, or a path that cannot be read with the reason."""


def find_files(named: Sequence[Path], excludes: Excludes) -> Iterator[FoundFile]:
    """Yield each file once, even if it or a folder above it was named several times."""
    done: set[str] = set()
    for path in named:
        absolute = os.path.abspath(path)
        if not _is_below(absolute, done):
            yield from _files_below(path, done, excludes)
        done.add(absolute)


def _files_below(path: Path, done: set[str], excludes: Excludes) -> Iterator[FoundFile]:
    if not path.is_dir():
        yield _found_file(path)
        return
    # a stack instead of recursion, since a tree may be deeper than the recursion limit; the next folder is the last
    waiting = [path]
    while waiting:
        folder = waiting.pop()
        above = "" if folder == path else f"{folder.relative_to(path).as_posix()}/"
        try:
            with os.scandir(folder) as entries:
                visible = sorted(
                    (
                        entry
                        for entry in entries
                        if not entry.name.startswith(".") and not excludes.match(above + entry.name)
                    ),
                    key=_name,
                )
        except OSError as error:
            yield folder, FileUnreadable(error.strerror or type(error).__name__)
            continue
        subfolders = []
        for entry in visible:
            path_of_entry = folder / entry.name
            if entry.is_dir(follow_symlinks=False):
                subfolders.append(path_of_entry)
            elif _is_wanted(entry) and not (done and _is_below(os.path.abspath(path_of_entry), done)):
                yield _found_file(path_of_entry)
        waiting += [folder for folder in reversed(subfolders) if os.path.abspath(folder) not in done]


def _found_file(path: Path) -> FoundFile:
    try:
        return stat_file(path)
    except FileUnreadable as unreadable:
        return path, unreadable


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _is_wanted(entry: os.DirEntry[str]) -> bool:
    """True for a file, and for a dangling or looping link: it stands for a missing picture and is reported."""
    try:
        return entry.is_file() or not os.path.exists(entry.path)
    except OSError:
        return True


def _is_below(path: str, folders: set[str]) -> bool:
    """Whether ``path`` or a folder above it is in ``folders``."""
    while path not in folders:
        parent = os.path.dirname(path)
        if parent == path:
            return False
        path = parent
    return True
