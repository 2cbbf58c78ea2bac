"""Which files are meant: what was named, and all in the folders that were named, in order of their names.

What begins with a dot is left out unless it was named itself, and so is what is neither file nor folder. Folders behind
symbolic links are not entered, so no loop can catch us; a link to a file is that file.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from imagesvc.client.errors import FileUnusable
from imagesvc.client.file_reader import Found, look_at


def find(named: Sequence[Path]) -> Iterator[Found | tuple[Path, FileUnusable]]:
    """Each file once, however often it or a folder above it was named; what cannot be read, with the reason."""
    done: set[str] = set()
    for path in named:
        place = os.path.abspath(path)
        if not _is_below(place, done):
            yield from _below(path, done)
        done.add(place)


def _below(path: Path, done: set[str]) -> Iterator[Found | tuple[Path, FileUnusable]]:
    if not path.is_dir():
        yield _seen(path)
        return
    # folders still to be entered, the next one last: a tree may be deeper than the stack
    waiting = [path]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                inside = sorted((entry for entry in entries if not entry.name.startswith(".")), key=_name)
        except OSError as error:
            yield folder, FileUnusable(error.strerror or type(error).__name__)
            continue
        folders = []
        for entry in inside:
            inner = folder / entry.name
            if entry.is_dir(follow_symlinks=False):
                folders.append(inner)
            elif _is_meant(entry) and not (done and _is_below(os.path.abspath(inner), done)):
                yield _seen(inner)
        waiting += [inner for inner in reversed(folders) if os.path.abspath(inner) not in done]


def _seen(path: Path) -> Found | tuple[Path, FileUnusable]:
    try:
        return look_at(path)
    except FileUnusable as unusable:
        return path, unusable


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _is_meant(entry: os.DirEntry[str]) -> bool:
    """A file; or a link to nothing or to itself, which is a picture that is missed, so it is told."""
    try:
        return entry.is_file() or not os.path.exists(entry.path)
    except OSError:
        return True


def _is_below(place: str, done: set[str]) -> bool:
    """Whether it, or a folder above it, is among them."""
    while place not in done:
        above = os.path.dirname(place)
        if above == place:
            return False
        place = above
    return True
