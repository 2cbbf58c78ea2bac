"""Which names below a folder are not uploaded: patterns of the caller, and files of systems and photo editors."""

import fnmatch
import re
from collections.abc import Iterable

DEFAULT_EXCLUDES = (
    # previews and recycle bins of network storage and file managers
    *("@eaDir", "#recycle", "#snapshot", "@Recycle", "@Recently-Snapshot", ".thumbnails", "lost+found"),
    # metadata of desktop systems
    *("Thumbs.db", "ehthumbs.db", "desktop.ini", "$RECYCLE.BIN", "System Volume Information"),
    *(".DS_Store", "._*", "__MACOSX", ".Trash*"),
    # side-cars: files with metadata or a small preview beside a photo
    *("*.xmp", "*.aae", "*.thm", "*.pp3", "*.dop", "*.on1", "*.nksc", "*.lrprev"),
)


class Excludes:
    """Glob patterns (``*``, ``?``, ``[…]``), compared without regard to case.

    A pattern without a slash is compared with the name of each file and folder; a pattern with a slash with the path
    below the named folder, where ``*`` also matches slashes. An excluded folder is not read.
    """

    def __init__(self, patterns: Iterable[str] = (), *, with_defaults: bool = True) -> None:
        wanted = [*(DEFAULT_EXCLUDES if with_defaults else ()), *(pattern.rstrip("/") for pattern in patterns)]
        self._names = _compiled(pattern for pattern in wanted if "/" not in pattern)
        self._paths = _compiled(pattern.removeprefix("/") for pattern in wanted if "/" in pattern)

    def match(self, path: str) -> bool:
        """Whether the file or folder is excluded. ``path`` is relative to the named folder, with slashes."""
        name = path.rpartition("/")[2]
        return self._names.match(name) is not None or self._paths.match(path) is not None


def _compiled(patterns: Iterable[str]) -> re.Pattern[str]:
    """One expression for all patterns; without any, one that matches nothing."""
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns if pattern) or r"(?!)", re.IGNORECASE)
