"""The zygote's memory: in huge pages, and without what its start left behind.

A fork copies one table entry for every 4 KB page, and the end of the child frees it: of 38 MB, that is more work than
many a picture. A huge page has one entry for 2 MB. The child splits those that it writes to. The kernel may refuse
any of it, which costs time and nothing else.
"""

import ctypes
import gc
import re

_HUGE_PAGE_BYTES = 2 * 1024 * 1024
_MADV_COLLAPSE = 25
_WRITABLE_MEMORY = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p 0+ 00:00 0 *(?:\[heap\])?")

MALLOC_SETTINGS = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in {
        "mmap_threshold": 32 * 1024 * 1024,
        "trim_threshold": 128 * 1024 * 1024,
        "top_pad": 32 * 1024 * 1024,
        "hugetlb": 1,
    }.items()
)
"""``GLIBC_TUNABLES`` of the zygote. Memory that one plane of pixels frees stays in the process for the next one; the
kernel would clear it anew, page by page. And it comes in huge pages."""


def compact() -> None:
    """Call once, before the first fork and after the last import."""
    libc = ctypes.CDLL(None)
    gc.collect()
    gc.freeze()  # a garbage collection in a child would write to, and so copy, every page shared with the zygote
    libc.malloc_trim(0)
    with open("/proc/self/maps") as file:
        ranges = [match.groups() for match in map(_WRITABLE_MEMORY.match, file) if match]
    for first, last in ranges:
        start = -(-int(first, 16) // _HUGE_PAGE_BYTES) * _HUGE_PAGE_BYTES
        size = int(last, 16) // _HUGE_PAGE_BYTES * _HUGE_PAGE_BYTES - start
        if size > 0:
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), _MADV_COLLAPSE)
