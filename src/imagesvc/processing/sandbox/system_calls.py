"""A seccomp filter: system calls that no decoder needs fail, in this process and all its threads.

It refuses new processes and exec (threads are allowed, because the HEVC decoder needs one), sockets, memory files that
would evade the limits, access and signals to other processes, and namespaces. Architectures other than the two below
have no filter.
"""

import ctypes
import errno
import os
import platform
import struct

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000

# (audit architecture, clone, clone3, tgkill, refused)
_MACHINES: dict[str, tuple[int, int, int, int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        56,
        435,
        234,
        {
            "socket": 41,
            "socketpair": 53,
            "fork": 57,
            "vfork": 58,
            "execve": 59,
            "kill": 62,
            "ptrace": 101,
            "mount": 165,
            "tkill": 200,
            "add_key": 248,
            "request_key": 249,
            "keyctl": 250,
            "unshare": 272,
            "perf_event_open": 298,
            "open_by_handle_at": 304,
            "setns": 308,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "memfd_create": 319,
            "bpf": 321,
            "execveat": 322,
            "userfaultfd": 323,
            "pidfd_send_signal": 424,
            "io_uring_setup": 425,
            "io_uring_enter": 426,
            "io_uring_register": 427,
        },
    ),
    "aarch64": (
        0xC00000B7,
        220,
        435,
        131,
        {
            "mount": 40,
            "unshare": 97,
            "ptrace": 117,
            "kill": 129,
            "tkill": 130,
            "socket": 198,
            "socketpair": 199,
            "add_key": 217,
            "request_key": 218,
            "keyctl": 219,
            "execve": 221,
            "perf_event_open": 241,
            "open_by_handle_at": 265,
            "setns": 268,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "memfd_create": 279,
            "bpf": 280,
            "execveat": 281,
            "userfaultfd": 282,
            "pidfd_send_signal": 424,
            "io_uring_setup": 425,
            "io_uring_enter": 426,
            "io_uring_register": 427,
        },
    ),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install_filter() -> bool:
    """Requires no-new-privileges. Returns False if the kernel, the container or the architecture does not allow it."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return False
    instructions = _filter(machine, os.getpid())
    program = _Program(len(instructions) // 8, instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _filter(machine: tuple[int, int, int, int, dict[str, int]], own_pid: int) -> bytes:
    """Classic BPF over seccomp_data: number at 0, architecture at 4, low half of the first argument at 16."""
    architecture, clone, clone3, tgkill, refused = machine
    load, equal, at_least, any_bit, result = 0x20, 0x15, 0x35, 0x45, 0x06
    refuse, not_implemented = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    code = [
        (load, 0, 0, 4),
        (equal, 1, 0, architecture),
        (result, 0, 0, refuse),
        (load, 0, 0, 0),
        (at_least, 0, 1, _X32),
        (result, 0, 0, refuse),
        (equal, 0, 1, clone3),
        (result, 0, 0, not_implemented),  # the C library then falls back to clone, whose flags a filter can read
        (equal, 0, 4, clone),
        (load, 0, 0, 16),
        (any_bit, 1, 0, _CLONE_THREAD),
        (result, 0, 0, refuse),
        (result, 0, 0, _ALLOW),
        (equal, 0, 4, tgkill),
        (load, 0, 0, 16),
        (equal, 1, 0, own_pid),  # abort() signals its own process
        (result, 0, 0, refuse),
        (result, 0, 0, _ALLOW),
    ]
    for number in refused.values():
        code += [(equal, 0, 1, number), (result, 0, 0, refuse)]
    code.append((result, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
