"""Supervises processes: starts them, restarts those that die, stops them in order, leaves none behind.

The kernel signals each child when the supervisor dies, for any reason. Each child is also recorded by pid and start
time, so that the next supervisor can end what a crash left, and never another process that got the same pid.
The supervisor has no other threads when it forks: the event loop waits on pidfds.
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

from imagesvc.cli.process_registry import ProcessRegistry
from imagesvc.embedded import ProcessSpec

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.03
MIN_RESTART_DELAY_SECONDS, MAX_RESTART_DELAY_SECONDS = 0.5, 60.0
HEALTHY_SECONDS = 60.0
"""A process that has run this long restarts with the shortest delay again."""
FORCED_STOP_SECONDS = 2.0
MAX_LOG_BYTES = 10 * 1024 * 1024
LOG_CHECK_SECONDS = 30.0

_libc = ctypes.CDLL(None, use_errno=True)


class ProcessFailed(Exception):
    """A process ended before it was ready, or was not ready in time; the text has the end of its log."""


@dataclass(slots=True)
class _Child:
    """A supervised process; ``restarter`` is the task that restarts it when it dies."""

    spec: ProcessSpec
    process: subprocess.Popen[bytes]
    ended: asyncio.Event
    restarter: asyncio.Task[None] | None = None


class Supervisor:
    """``report`` receives a line of text for the person at the terminal. Used within one running event loop."""

    def __init__(self, registry: ProcessRegistry, report: Callable[[str], None]) -> None:
        self._registry, self._report = registry, report
        self._children: dict[str, _Child] = {}
        self._log_trimmer: asyncio.Task[None] | None = None

    async def start(self, specs: Iterable[ProcessSpec]) -> None:
        """Start processes concurrently and wait until each is ready. Raises ProcessFailed."""
        if self._log_trimmer is None:
            self._log_trimmer = asyncio.create_task(self._trim_logs())
        await asyncio.gather(*(self._start(spec) for spec in specs))

    def stop_orphans(self) -> list[str]:
        """Stop what an earlier supervisor with the same registry left running. Returns the names; blocks."""
        return self._registry.stop_orphans()

    async def run_once(self, spec: ProcessSpec) -> None:
        """Start a process and wait for its end. Raises ProcessFailed unless its exit code is 0."""
        child = self._children[spec.name] = self._spawn(spec)
        await child.ended.wait()
        del self._children[spec.name]
        self._registry.remove(spec.name)
        if child.process.returncode != 0:
            raise ProcessFailed(f"{spec.name} ended {_reason(child.process)}\n{_tail(spec.log)}")

    async def stop(self, *, hurry: Callable[[], bool] = lambda: False, at_once: bool = False) -> None:
        """Stop all processes: by their stop signal, then by SIGKILL; sooner when in a hurry.

        The last started is first, and the others wait until it has ended, unless they stop ``at_once``.
        """
        if self._log_trimmer is not None:
            self._log_trimmer.cancel()
        children = list(reversed(self._children.values()))
        for child in children:
            if child.restarter is not None:
                child.restarter.cancel()
        for group in (children,) if at_once else ((child,) for child in children):
            await asyncio.gather(*(self._stop(child, hurry) for child in group))
        self._children.clear()

    def pid(self, name: str) -> int:
        return self._children[name].process.pid

    async def _start(self, spec: ProcessSpec) -> None:
        child = self._children[spec.name] = self._spawn(spec)
        deadline = asyncio.get_running_loop().time() + spec.start_seconds
        while not await spec.ready():
            if child.ended.is_set():
                raise ProcessFailed(f"{spec.name} ended {_reason(child.process)} while starting\n{_tail(spec.log)}")
            if asyncio.get_running_loop().time() > deadline:
                raise ProcessFailed(f"{spec.name} was not ready after {spec.start_seconds:.0f} s\n{_tail(spec.log)}")
            await asyncio.sleep(POLL_SECONDS)
        child.restarter = asyncio.create_task(self._restart_when_it_ends(child))

    async def _restart_when_it_ends(self, child: _Child) -> None:
        """Restart with a delay that doubles up to the maximum."""
        delay = MIN_RESTART_DELAY_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            started_at = loop.time()
            await child.ended.wait()
            if loop.time() - started_at > HEALTHY_SECONDS:
                delay = MIN_RESTART_DELAY_SECONDS
            spec = child.spec
            self._report(f"{spec.name} ended {_reason(child.process)}; restarting in {delay:g} s" + _where(spec.log))
            await asyncio.sleep(delay)
            delay = min(delay * 2, MAX_RESTART_DELAY_SECONDS)
            try:
                started = self._spawn(spec)
            except OSError as error:
                self._report(f"{spec.name} cannot be started: {error}")
                continue
            child.process, child.ended = started.process, started.ended
            self._report(f"{spec.name} restarted (process {started.process.pid})")

    def _spawn(self, spec: ProcessSpec) -> _Child:
        for leftover in spec.leftovers:
            leftover.unlink(missing_ok=True)
        process = _open_process(spec)
        self._registry.add(spec.name, process.pid, spec.orphan_signal, spec.leftovers)
        return _Child(spec=spec, process=process, ended=_end_event(process))

    async def _stop(self, child: _Child, hurry: Callable[[], bool]) -> None:
        spec, process = child.spec, child.process
        loop = asyncio.get_running_loop()
        if not child.ended.is_set():
            process.send_signal(spec.stop_signal)
            signaled_at = loop.time()
            while not child.ended.is_set():
                if loop.time() - signaled_at > min(spec.stop_seconds, FORCED_STOP_SECONDS if hurry() else math.inf):
                    break
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(child.ended.wait(), 0.1)
        if not child.ended.is_set():
            _kill_group(process.pid)
            await child.ended.wait()
        for leftover in spec.leftovers:
            leftover.unlink(missing_ok=True)
        self._registry.remove(spec.name)

    async def _trim_logs(self) -> None:
        while True:
            await asyncio.sleep(LOG_CHECK_SECONDS)
            for child in self._children.values():
                if child.spec.log is not None:
                    trim_log(child.spec.log, MAX_LOG_BYTES)


def _open_process(spec: ProcessSpec) -> subprocess.Popen[bytes]:
    """A process in a session of its own, with its output in its log. Raises OSError."""
    supervisor = os.getpid()

    def tie_to_supervisor() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, int(spec.orphan_signal))
        if os.getppid() != supervisor:  # the supervisor died before the prctl
            os._exit(1)

    log, user = None, spec.user
    if spec.log is not None:
        log = os.open(spec.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        return subprocess.Popen(
            spec.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=spec.folder,
            env=dict(spec.env),
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
            umask=0o077,
            pass_fds=spec.inherited,
            start_new_session=True,
            # runs after the change of user, which would clear the parent-death signal
            preexec_fn=tie_to_supervisor,
        )
    finally:
        if log is not None:
            os.close(log)


def _end_event(process: subprocess.Popen[bytes]) -> asyncio.Event:
    """An event that is set once the process has ended and is reaped."""
    ended = asyncio.Event()
    pidfd = os.pidfd_open(process.pid)
    loop = asyncio.get_running_loop()

    def on_end() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        # before it is reaped: until then no other process can get its pid
        _kill_group(process.pid)
        process.wait()
        ended.set()

    loop.add_reader(pidfd, on_end)
    return ended


def trim_log(log: Path, max_bytes: int) -> None:
    """Truncate ``log`` when it is longer than ``max_bytes``, and keep its end beside it as ``….1``.

    It is copied and truncated instead of renamed, since its process keeps it open; a process that appends continues at
    the new end.
    """
    with contextlib.suppress(OSError), open(log, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size <= max_bytes:
            return
        file.seek(-max_bytes, os.SEEK_END)
        older = log.with_name(f"{log.name}.1")
        with open(os.open(older, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as kept:
            kept.write(file.read(max_bytes))
        file.truncate(0)


def _kill_group(pid: int) -> None:
    """Kill what is left of the process group: the process itself, or children such as a worker's sandbox."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _reason(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


def _where(log: Path | None) -> str:
    return f" (log: {log})" if log is not None else ""


def _tail(log: Path | None, lines: int = 15) -> str:
    if log is None:
        return ""
    with contextlib.suppress(OSError), open(log, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
        return "\n".join(f"  | {line}" for line in file.read().decode(errors="replace").splitlines()[-lines:])
    return ""
