"""Runs parts as one process tree: starts them, starts again what dies, stops them in order, leaves none behind.

Each child is tied to us by the kernel (a signal when we die, however we die) and recorded by pid and start time, so
that the next supervisor can end what an unclean death left, and never a process that is not ours.
The process has no other threads when it forks: the event loop waits on pidfds.
"""

import asyncio
import contextlib
import ctypes
import math
import os
import signal
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from imagesvc.cli.process_registry import Ledger
from imagesvc.embedded import ProcessSpec

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.03
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.5, 60.0
HEALTHY_SECONDS = 60.0
HURRIED_SECONDS = 2.0
LOG_BYTES = 10 * 1024 * 1024
LOG_CHECK_SECONDS = 30.0

_libc = ctypes.CDLL(None, use_errno=True)


class PartFailed(Exception):
    """A part ended before it was ready, or was not ready in time; the text has the end of its log."""


@dataclass(slots=True)
class _Running:
    part: ProcessSpec
    process: subprocess.Popen[bytes]
    ended: asyncio.Event
    keeper: asyncio.Task[None] | None = None


class Supervisor:
    """``say`` takes a line of news for the person at the terminal. Used within one running event loop."""

    def __init__(self, ledger: Ledger, say: Callable[[str], None]) -> None:
        self._ledger, self._say = ledger, say
        self._running: dict[str, _Running] = {}
        self._stopping = False
        self._logs: asyncio.Task[None] | None = None

    async def start(self, parts: Iterable[ProcessSpec]) -> None:
        """Start them side by side and wait until each is ready. Raises PartFailed."""
        if self._logs is None:
            self._logs = asyncio.create_task(self._bound_logs())
        await asyncio.gather(*(self._start(part) for part in parts))

    def end_leftovers(self) -> list[str]:
        """End what an earlier supervisor with the same ledger left running; returns the names."""
        return self._ledger.end_leftovers()

    async def run_once(self, part: ProcessSpec) -> None:
        """Start it and wait for its end. Raises PartFailed unless it ends well."""
        running = self._running[part.name] = self._spawn(part)
        await running.ended.wait()
        del self._running[part.name]
        self._ledger.remove(part.name)
        if running.process.returncode != 0:
            raise PartFailed(f"{part.name} ended {_how(running.process)}\n{_tail(part.log)}")

    async def stop(self, *, hurry: Callable[[], bool] = lambda: False) -> None:
        """End all parts, the last started first, each with its own signal, then by force; at once when in a hurry."""
        self._stopping = True
        if self._logs is not None:
            self._logs.cancel()
        for running in reversed(self._running.values()):
            if running.keeper is not None:
                running.keeper.cancel()
            await self._end(running, hurry)
        self._running.clear()

    def pid(self, name: str) -> int:
        return self._running[name].process.pid

    async def _start(self, part: ProcessSpec) -> None:
        running = self._running[part.name] = self._spawn(part)
        deadline = asyncio.get_running_loop().time() + part.start_seconds
        while not await part.ready():
            if running.ended.is_set():
                raise PartFailed(f"{part.name} ended {_how(running.process)} while starting\n{_tail(part.log)}")
            if asyncio.get_running_loop().time() > deadline:
                raise PartFailed(f"{part.name} was not ready after {part.start_seconds:.0f} s\n{_tail(part.log)}")
            await asyncio.sleep(POLL_SECONDS)
        running.keeper = asyncio.create_task(self._keep(running))

    async def _keep(self, running: _Running) -> None:
        delay = FIRST_DELAY_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            since = loop.time()
            await running.ended.wait()
            if loop.time() - since > HEALTHY_SECONDS:
                delay = FIRST_DELAY_SECONDS
            part = running.part
            self._say(f"{part.name} ended {_how(running.process)}; starting it again in {delay:g} s (log: {part.log})")
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY_SECONDS)
            try:
                started = self._spawn(part)
            except OSError as error:
                self._say(f"{part.name} cannot be started: {error}")
                continue
            running.process, running.ended = started.process, started.ended
            self._say(f"{part.name} runs again (process {started.process.pid})")

    def _spawn(self, part: ProcessSpec) -> _Running:
        for left in part.leftovers:
            left.unlink(missing_ok=True)
        supervisor = os.getpid()

        def tether() -> None:
            _libc.prctl(PR_SET_PDEATHSIG, int(part.orphan_signal))
            if os.getppid() != supervisor:
                os._exit(1)

        log = os.open(part.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        user = part.user
        try:
            process = subprocess.Popen(
                part.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=part.folder,
                env=dict(part.env),
                user=user.uid if user else None,
                group=user.gid if user else None,
                extra_groups=[] if user else None,
                umask=0o077,
                start_new_session=True,
                # runs after the change of user, which would clear the signal again
                preexec_fn=tether,
            )
        finally:
            os.close(log)
        self._ledger.add(part.name, process.pid, part.orphan_signal, part.leftovers)
        ended = asyncio.Event()
        watch = os.pidfd_open(process.pid)
        loop = asyncio.get_running_loop()

        def has_ended() -> None:
            loop.remove_reader(watch)
            os.close(watch)
            # before it is reaped: until then nobody else can have its number
            _end_group(process.pid)
            process.wait()
            ended.set()

        loop.add_reader(watch, has_ended)
        return _Running(part=part, process=process, ended=ended)

    async def _end(self, running: _Running, hurry: Callable[[], bool]) -> None:
        part, process = running.part, running.process
        loop = asyncio.get_running_loop()
        if not running.ended.is_set():
            process.send_signal(part.stop_signal)
            asked = loop.time()
            while not running.ended.is_set():
                if loop.time() - asked > min(part.stop_seconds, HURRIED_SECONDS if hurry() else math.inf):
                    break
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(running.ended.wait(), 0.1)
        if not running.ended.is_set():
            _end_group(process.pid)
            await running.ended.wait()
        for left in part.leftovers:
            left.unlink(missing_ok=True)
        self._ledger.remove(part.name)

    async def _bound_logs(self) -> None:
        """Keep each log under LOG_BYTES, and one older file: copied, then cut, since the server goes on writing."""
        while True:
            await asyncio.sleep(LOG_CHECK_SECONDS)
            for running in self._running.values():
                bound_log(running.part.log, LOG_BYTES)


def bound_log(log: Path, most_bytes: int) -> None:
    """Cut ``log`` when it is longer, its end kept beside it as ``….1``. Writers append: they go on at the new end."""
    with contextlib.suppress(OSError), open(log, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size <= most_bytes:
            return
        file.seek(-most_bytes, os.SEEK_END)
        older = log.with_name(f"{log.name}.1")
        with open(os.open(older, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as kept:
            kept.write(file.read(most_bytes))
        file.truncate(0)


def _end_group(pid: int) -> None:
    """Kill what is left of a part's process group: a worker's sandbox, or the part itself."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _how(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


def _tail(log: Path, lines: int = 15) -> str:
    with contextlib.suppress(OSError), open(log, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
        return "\n".join(f"  | {line}" for line in file.read().decode(errors="replace").splitlines()[-lines:])
    return ""
