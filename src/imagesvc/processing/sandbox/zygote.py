"""The process from which the children are forked. It has the libraries imported and nothing else in memory.

``python -I -m imagesvc.processing.sandbox.zygote DESCRIPTOR [HOOKS]``. It serves one worker over a socket and ends when
the worker does. It has a single thread, so that forking is safe. It enforces the time limits of its children and reaps
them and their orphans.
"""

import importlib.util
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

from imagesvc.processing.sandbox import confinement
from imagesvc.processing.sandbox.protocol import Ended, Ready, Start, Stop, receive, send

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # numpy starts threads when it is imported

from imagesvc.processing.sandbox import child, libraries, memory, system_calls


@dataclass(slots=True)
class _RunningChild:
    number: int
    deadline: float
    timed_out: bool = False


class Zygote:
    def __init__(self, connection: socket.socket, hook: child.Hook | None) -> None:
        self.connection = connection
        self.hook = hook
        self.running: dict[int, _RunningChild] = {}
        self.pid = os.getpid()

    def serve(self) -> None:
        """Serve until the worker closes its socket."""
        wakeup, wakeup_writer = socket.socketpair()
        for end in (wakeup, wakeup_writer):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup_writer.fileno(), warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self.connection, selectors.EVENT_READ)
            selector.register(wakeup, selectors.EVENT_READ)
            while True:
                ready = selector.select(self._seconds_left())
                for key, _ in ready:
                    if key.fileobj is wakeup:
                        with suppress(BlockingIOError):
                            wakeup.recv(4_096)
                    elif not self._handle_message():
                        return
                self._stop_overdue()
                self._reap()

    def _seconds_left(self) -> float | None:
        waiting = [running.deadline for running in self.running.values() if not running.timed_out]
        return max(0.0, min(waiting) - time.monotonic()) if waiting else None

    def _handle_message(self) -> bool:
        message, descriptors = receive(self.connection)
        if message is None:
            return False
        if "stop" in message:
            self._stop(Stop(**message).stop)
        else:
            self._start(Start.of(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        return True

    def _start(self, start: Start, descriptors: list[int]) -> None:
        pid = os.fork()
        if pid == 0:
            child.run(start, descriptors, zygote=self.pid, hook=self.hook)
        self.running[pid] = _RunningChild(start.number, time.monotonic() + start.limits["sandbox_seconds"])

    def _stop(self, number: int) -> None:
        for pid, running in self.running.items():
            if running.number == number:
                _kill(pid)

    def _stop_overdue(self) -> None:
        now = time.monotonic()
        for pid, running in self.running.items():
            if running.deadline <= now and not running.timed_out:
                running.timed_out = True
                _kill(pid)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            ended = self.running.pop(pid, None)
            if ended is not None:
                self._kill_remaining(pid)
                seconds = usage.ru_utime + usage.ru_stime
                message = Ended(
                    number=ended.number, status=status, timed_out=ended.timed_out, cpu_seconds=round(seconds, 6)
                )
                send(self.connection, message)

    def _kill_remaining(self, group: int) -> None:
        """Kill the rest of the process group, and orphans that left the group: children that are not in ``running``."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
        with suppress(OSError), open(f"/proc/self/task/{self.pid}/children") as file:
            for pid in {int(word) for word in file.read().split()} - self.running.keys():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _hook(path: str) -> child.Hook:
    spec = importlib.util.spec_from_file_location("sandbox_hook", path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    hook: child.Hook = module.before
    return hook


def main(arguments: list[str]) -> None:
    connection = socket.socket(fileno=int(arguments[0]))
    connection.set_inheritable(False)
    confinement.die_with_parent(os.getppid())
    confinement.adopt_orphans()
    libraries.prepare()
    hook = _hook(arguments[1]) if len(arguments) > 1 else None
    no_network = confinement.leave_network()
    confinement.hide_memory()
    confinement.forbid_new_privileges()
    allowed = {
        "other_user": confinement.holds(lambda: confinement.change_user(0)),
        "no_network": no_network,
        "file_system": confinement.holds(lambda: confinement.restrict_to_reading([])),
        "system_calls": confinement.holds(system_calls.install_filter),
    }
    memory.compact()
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 2)
    send(connection, Ready(confinement=allowed))
    Zygote(connection, hook).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
