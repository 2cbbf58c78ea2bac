"""Irrevocably reduces the rights of this process, with Linux calls for which Python has no function (ctypes).

The kernel or the container may refuse a step; the function then returns False instead of raising.
"""

import ctypes
import os
import resource
import signal
import struct
from collections.abc import Callable
from contextlib import suppress

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 4, 36, 38
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_VERSION, _LANDLOCK_PATH_BENEATH = 1, 1
_TCP_BIND_AND_CONNECT, _OUTSIDE_SOCKETS_AND_SIGNALS = 3, 3
_READ_FILE, _READ_DIR, _EXECUTE = 1 << 2, 1 << 3, 1 << 0
_FILE_RIGHTS_OF_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""number of file system rights that each Landlock version knows; all are withheld"""

FIRST_USER = 60_600
"""as root, slot n runs as user and group FIRST_USER + n; no distribution assigns these ids"""
NOBODY = 65_534

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """Kill this process when its parent ends. Call it after any change of user, which resets it."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants, so that they can be found and killed."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def leave_network() -> bool:
    """Move to a network namespace without interfaces. The zygote's children inherit it."""
    if os.geteuid() == 0 and _libc.unshare(_CLONE_NEWNET | _CLONE_NEWIPC) == 0:
        return True
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC) != 0:
        return False
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with suppress(OSError), open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    return True


def change_user(slot: int) -> bool:
    """Become a user that owns nothing, a different one for each slot. Only possible as root."""
    if os.geteuid() != 0:
        return False
    for identity in (FIRST_USER + slot, NOBODY):
        with suppress(OSError):
            os.setgroups([])
            os.setresgid(identity, identity, identity)
            os.setresuid(identity, identity, identity)
            return True
    return False


def forbid_new_privileges() -> bool:
    """A later exec cannot gain rights. Landlock and seccomp require this."""
    return bool(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)


def hide_memory() -> None:
    """Other processes of the same user cannot read the memory of this process."""
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def restrict_to_reading(folders: list[str]) -> bool:
    """Allow only reading, and only below these folders (Landlock, Linux 5.13).

    On newer kernels this also refuses TCP and signals to other processes. Open descriptors are not affected.
    """
    version = _libc.syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION)
    if version < 1:
        return False
    files = (1 << _FILE_RIGHTS_OF_VERSION[min(version, 5)]) - 1
    sockets = _TCP_BIND_AND_CONNECT if version >= 4 else 0
    scopes = _OUTSIDE_SOCKETS_AND_SIGNALS if version >= 6 else 0
    handled = struct.pack("=QQQ", files, sockets, scopes)[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = _libc.syscall(_LANDLOCK_CREATE_RULESET, handled, len(handled), 0)
    if ruleset < 0:
        return False
    try:
        for folder in folders:
            with suppress(OSError):  # missing or not permitted: then it cannot be read anyway
                descriptor = os.open(folder, os.O_PATH | os.O_CLOEXEC)
                rule = struct.pack("=Qi", _READ_FILE | _READ_DIR | _EXECUTE, descriptor)
                _libc.syscall(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_PATH_BENEATH, rule, 0)
                os.close(descriptor)
        return bool(_libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def holds(step: Callable[[], bool]) -> bool:
    """Whether the step succeeds, tried in a child process."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if step() else 1)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def drop_capabilities() -> None:
    """Drop root's capabilities if the user could not be changed, and those from a user namespace."""
    version_3_of_self = struct.pack("=Ii", 0x20080522, 0)
    _libc.capset(version_3_of_self, bytes(24))


def limit_resources(*, cpu_seconds: int, memory_bytes: int, output_bytes: int) -> None:
    """``memory_bytes`` is in addition to the memory that is already mapped.

    The limit on processes and threads counts all of a user, so it is set only for a user of the sandbox's own, which
    the workers of a machine share. The HEVC decoder needs a thread.
    """
    for kind, value in (
        (resource.RLIMIT_AS, _mapped_bytes() + memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, output_bytes),
        (resource.RLIMIT_NOFILE, 128),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        _lower(kind, value)
    if os.geteuid() >= FIRST_USER:
        _lower(resource.RLIMIT_NPROC, 64)


def _lower(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
    # CPU: the signal of the soft limit distinguishes a timeout from a crash; the hard limit follows a second later
    later = ceiling + 1 if kind == resource.RLIMIT_CPU and ceiling != hard else ceiling
    resource.setrlimit(kind, (ceiling, later))


def _mapped_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
