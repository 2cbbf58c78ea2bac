"""Lets the service user through to a folder: one search right for one account, never a folder opened to everybody.

Needed when root runs `imagesvc up` below a folder such as /root (0700): PostgreSQL, which refuses root, must still get
to its programs and its data. POSIX access control lists are written as acl(5) and the kernel's posix_acl_xattr.h say.
"""

import errno
import os
import stat
import struct
import subprocess
from pathlib import Path

from imagesvc.embedded.process_spec import EmbeddedError, ServiceUser

ACL = "system.posix_acl_access"
VERSION = 2
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
NOBODY_ID = 0xFFFFFFFF
SEARCH = 1


def can_reach(path: Path, user: ServiceUser) -> bool:
    """Whether that account may get to ``path``: asked of the kernel, since modes alone do not tell."""
    asked = subprocess.run(
        ["/bin/sh", "-c", 'test -x "$0"', str(path)],
        user=user.uid,
        group=user.gid,
        extra_groups=[],
        cwd="/",
        check=False,
    )
    return asked.returncode == 0


def let_through(path: Path, user: ServiceUser) -> list[Path]:
    """Give ``user`` the right to pass each folder above ``path`` that stops it; returns the folders changed.

    Raises EmbeddedError when the file system will not have it.
    """
    changed = []
    for folder in reversed(path.parents):
        if not can_reach(folder, user):
            try:
                _grant_search(folder, user)
            except OSError as error:
                raise EmbeddedError(
                    f"PostgreSQL does not run as root, and its account cannot pass {folder}: "
                    "run as an ordinary user, or move the project and --data-dir to a folder that others may enter"
                ) from error
            changed.append(folder)
    return changed


def open_program(folder: Path) -> None:
    """Make an installed program readable for all; pip run with a strict umask leaves it to its owner alone."""
    for found in (folder, *folder.rglob("*")):
        mode = found.stat().st_mode
        wanted = mode | 0o444 | (0o111 if stat.S_ISDIR(mode) or mode & 0o100 else 0)
        if wanted != mode:
            found.chmod(stat.S_IMODE(wanted))


def _grant_search(folder: Path, user: ServiceUser) -> None:
    entries = {(tag, who): rights for tag, rights, who in _entries(folder)}
    entries[USER, user.uid] = entries.get((USER, user.uid), 0) | SEARCH
    # the mask bounds named entries; one that is absent is what the group had
    entries[MASK, NOBODY_ID] = entries.get((MASK, NOBODY_ID), entries[GROUP_OBJ, NOBODY_ID]) | SEARCH
    packed = b"".join(struct.pack("<HHI", tag, rights, who) for (tag, who), rights in sorted(entries.items()))
    os.setxattr(folder, ACL, struct.pack("<I", VERSION) + packed)


def _entries(folder: Path) -> list[tuple[int, int, int]]:
    try:
        stored = os.getxattr(folder, ACL)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        mode = folder.stat().st_mode
        return [
            (USER_OBJ, mode >> 6 & 7, NOBODY_ID),
            (GROUP_OBJ, mode >> 3 & 7, NOBODY_ID),
            (OTHER, mode & 7, NOBODY_ID),
        ]
    return list(struct.iter_unpack("<HHI", stored[4:]))
