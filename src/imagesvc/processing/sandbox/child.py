"""The process of one image: confines itself, processes the image, writes the reply and exits.

The descriptors arrive in a fixed order: the original, the reply, then each possible output file.
"""

import errno
import io
import math
import mmap
import os
import resource
import signal
import sys
import sysconfig
import traceback
from collections.abc import Callable
from contextlib import suppress

from imagesvc.processing.contract import MAX_REPLY_BYTES, FailedReply, Reply, Resize, Work
from imagesvc.processing.limits import Limits
from imagesvc.processing.pipeline import WriteOutput, process
from imagesvc.processing.sandbox import confinement, libraries, system_calls
from imagesvc.processing.sandbox.protocol import Start, encoded

_LIBRARIES = [sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib"), "/usr", "/lib", "/lib64"]
"""folders that stay readable, for code that is imported or loaded late"""

Hook = Callable[[bytes], None]
"""Tests only: called with the first bytes of the original, after the confinement and before the processing."""


def run(start: Start, descriptors: list[int], *, zygote: int, hook: Hook | None) -> None:
    """Runs in a fresh fork of the zygote and never returns."""
    try:
        original, reply, *outputs = _keep_only(descriptors)
        answer = _answer(start, original, outputs, zygote, hook)
        os.write(reply, encoded(answer)[:MAX_REPLY_BYTES])
        os._exit(0)
    finally:
        os._exit(1)  # on any error: the fork must not continue in the zygote's code


def _keep_only(descriptors: list[int]) -> list[int]:
    """Move them to 3, 4, 5, … and close all others, including the control socket."""
    moved = [os.dup2(descriptor, 200 + n) for n, descriptor in enumerate(descriptors)]
    kept = [os.dup2(descriptor, 3 + n, inheritable=False) for n, descriptor in enumerate(moved)]
    os.closerange(3 + len(kept), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    return kept


def _confine(slot: int, limits: Limits, zygote: int) -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    confinement.change_user(slot)
    confinement.die_with_parent(zygote)
    confinement.hide_memory()
    confinement.forbid_new_privileges()
    confinement.limit_resources(
        cpu_seconds=max(1, math.ceil(limits.sandbox_seconds)),
        memory_bytes=limits.sandbox_memory_bytes,
        output_bytes=limits.max_output_bytes,
    )
    confinement.drop_capabilities()
    confinement.restrict_to_reading(_LIBRARIES)
    system_calls.install_filter()


def _answer(start: Start, original: int, outputs: list[int], zygote: int, hook: Hook | None) -> Reply:
    def write(index: int, data: bytes) -> None:
        with open(outputs[index], "wb", closefd=False) as file:
            file.write(data)

    try:
        limits = Limits(**start.limits)  # type: ignore[arg-type]
        _confine(start.slot, limits, zygote)
        return _process(limits, original, start.request, write, hook)
    except MemoryError:
        return FailedReply(reason="decoder-memory", detail="the memory limit was reached")
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.EFBIG:
            return FailedReply(reason="output-too-large", detail="an output file would exceed the limit")
        return FailedReply(reason="processing-error", detail=traceback.format_exc()[-4_000:])


def _process(limits: Limits, original: int, request: Work | Resize, write: WriteOutput, hook: Hook | None) -> Reply:
    libraries.apply(limits)
    size = os.fstat(original).st_size
    source = mmap.mmap(original, size, prot=mmap.PROT_READ) if size else b""
    if hook is not None:
        hook(source[:64])
    with _BoundedReader(original, size) as file:
        return process(file, source, request, limits, write)


class _BoundedReader(io.BufferedReader):
    """Reads the original. Python allocates the requested size before it reads, so this bounds it by the file's size.

    Otherwise a length in the file, such as that of a PNG chunk, could exhaust the memory.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        super().__init__(io.FileIO(descriptor, "rb", closefd=False))
        self._file_bytes = size

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size if size is None or size < self._file_bytes else -1)
