"""Runs files in a sandbox, and finds its processes."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from imagesvc.processing.contract import Failed, Outcome, Processed, Resize, Work
from imagesvc.processing.limits import MIB, Limits
from imagesvc.processing.sandbox.sandbox import Sandbox
from tests.processing import hostile
from tests.support import images

HOOKS = Path(hostile.__file__)
THUMB = Work(score=False, renditions=(("thumb", "webp"),))
LIMITS = Limits(sandbox_seconds=30, sandbox_memory_bytes=512 * MIB, max_output_bytes=8 * MIB)


async def outcome_of(sandbox: Sandbox, data: bytes, request: Work | Resize = THUMB) -> Outcome:
    async with sandbox.scratch() as folder:
        (folder / "original").write_bytes(data)
        return await sandbox.run(request, folder)


async def attack(sandbox: Sandbox, routine: Callable[[str], None], argument: str = "") -> Failed:
    outcome = await outcome_of(sandbox, f"do {routine.__name__} {argument}\n".encode())
    assert isinstance(outcome, Failed), outcome
    return outcome


async def works(sandbox: Sandbox) -> bool:
    return isinstance(await outcome_of(sandbox, images.jpeg(size=(64, 48))), Processed)


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        await asyncio.sleep(0.02)


def descendants(pid: int) -> set[int]:
    """Processes below this one that are alive."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                _, _, rest = (entry / "stat").read_text().rpartition(")")
            except OSError:
                continue
            state, parent, *_ = rest.split()
            if state != "Z":
                parents[int(entry.name)] = int(parent)
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def zygote_of(sandbox: Sandbox) -> int:
    """-1 while there is none; no process has that number."""
    return sandbox.zygote_pid or -1
