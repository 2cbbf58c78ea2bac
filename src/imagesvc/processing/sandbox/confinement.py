"""Take rights away from this process, for good: Linux calls that Python has no function for, through ctypes.

Each step is best effort where the kernel or the container may refuse it; what holds is reported, not assumed.
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
"""how many of the file system rights each version knows; all of them are withheld"""

FIRST_USER = 60_600
"""as root, slot n runs as user and group FIRST_USER + n: ids that no distribution hands out"""
NOBODY = 65_534

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """Be killed when the parent goes. Has to come after any change of user, which forgets it."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Processes whose parent dies become ours, so that they can be found and killed."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def leave_network() -> bool:
    """A network namespace of our own, without any interface: once for the zygote and all its children."""
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
    """Become a user that owns nothing, a different one for each slot; not possible unless root."""
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
    """No later exec can gain rights; Landlock needs it."""
    return bool(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)


def hide_memory() -> None:
    """Others of the same user may not look into this process."""
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def allow_reading_only(folders: list[str]) -> bool:
    """Of the file system, leave reading below these folders (Landlock, Linux 5.13), and of newer kernels' rights no TCP
    and no signals to others. Open descriptors stay as they are."""
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
            with suppress(OSError):  # not there, or not for this user: then it cannot be read anyway
                descriptor = os.open(folder, os.O_PATH | os.O_CLOEXEC)
                rule = struct.pack("=Qi", _READ_FILE | _READ_DIR | _EXECUTE, descriptor)
                _libc.syscall(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_PATH_BENEATH, rule, 0)
                os.close(descriptor)
        return bool(_libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def holds(step: Callable[[], bool]) -> bool:
    """Whether the step works here, tried in a process that ends with it."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if step() else 1)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def drop_capabilities() -> None:
    """Those of root, where the user cannot be changed, and those that a user namespace gave."""
    version_3_of_self = struct.pack("=Ii", 0x20080522, 0)
    _libc.capset(version_3_of_self, bytes(24))


def limit_resources(*, cpu_seconds: int, memory_bytes: int, output_bytes: int) -> None:
    """Memory counts on top of what is mapped already. Processes and threads can only be counted for a user of our
    own: the limit is on all that the user has, and the HEVC decoder needs a thread."""
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
        _lower(resource.RLIMIT_NPROC, 8)


def _lower(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
    # CPU: the soft limit's signal tells a timeout from a crash; the hard one, a second later, cannot be caught
    later = ceiling + 1 if kind == resource.RLIMIT_CPU and ceiling != hard else ceiling
    resource.setrlimit(kind, (ceiling, later))


def _mapped_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
