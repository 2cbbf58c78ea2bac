"""The worker's side of the sandbox: keeps a zygote running, sends it images and validates what comes back."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Self

from imagesvc.processing.contract import Failed, Outcome, Resize, Work
from imagesvc.processing.limits import MIB, Limits
from imagesvc.processing.sandbox.files import ImageFiles
from imagesvc.processing.sandbox.memory import MALLOC_SETTINGS
from imagesvc.processing.sandbox.protocol import Ended, Ready, Start, Stop, receive, send
from imagesvc.processing.sandbox.scratch import ScratchFolder, default_parent

ORIGINAL = "original"
"""name of the input file in an image's scratch folder"""
_START_SECONDS = 60.0
_GRACE_SECONDS = 10.0
"""time beyond an image's own limit after which the zygote counts as dead"""
_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGSYS}


class SandboxUnavailable(Exception):
    """The zygote did not start."""


class _Lost(Exception):
    """The zygote ended before the image was done."""


class Sandbox:
    """Processes up to ``slots`` images at once, each in a process of its own.

    ``parent`` is the folder for scratch folders (None: memory, if ``scratch_bytes`` are free there). ``hooks`` is the
    path of a Python file whose ``before(head: bytes)`` each child calls first; only tests use it, to cause real faults.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        slots: int = 16,
        parent: Path | None = None,
        scratch_bytes: int = 512 * MIB,
        hooks: Path | None = None,
    ) -> None:
        self.limits = limits
        self.confinement: dict[str, bool] = {}
        """measures that the kernel allows: other_user, no_network, file_system, system_calls; empty before the start"""
        self._parent = parent or default_parent(scratch_bytes)
        self._hooks = hooks
        self._scratch: ScratchFolder | None = None
        self._slots = list(range(slots))
        self._slot_free = asyncio.Semaphore(slots)
        self._starting = asyncio.Lock()
        self._zygote: _Zygote | None = None
        self._numbers = 0

    @property
    def zygote_pid(self) -> int | None:
        """None while no zygote runs."""
        return None if self._zygote is None or self._zygote.ended else self._zygote.pid

    async def start(self) -> None:
        """Raises SandboxUnavailable."""
        if self._scratch is None:
            self._scratch = ScratchFolder.open(self._parent)
        with suppress(_Lost):
            await self._running_zygote()

    async def close(self) -> None:
        scratch, self._scratch = self._scratch, None  # from here on, no request starts a zygote
        async with self._starting:
            if self._zygote is not None:
                await self._zygote.stop()
                self._zygote = None
        if scratch is not None:
            scratch.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def scratch(self) -> AsyncIterator[Path]:
        """A private folder for one image, always removed. The caller puts the input file in it as ``original``."""
        if self._scratch is None:
            raise RuntimeError("the sandbox is not started")
        async with self._scratch.subfolder() as folder:
            yield folder

    async def run(self, request: Work | Resize, folder: Path) -> Outcome:
        """Process ``folder/original`` and write the output files to the same folder. No image makes this raise."""
        async with self._slot_free:
            slot = self._slots.pop()
            try:
                for _ in range(2):  # a lost zygote may not be the fault of this image: try once more
                    with suppress(_Lost):
                        return await self._run(request, folder, slot)
                return Failed(reason="sandbox-lost", detail="the zygote ended while it processed this image")
            finally:
                self._slots.append(slot)

    async def _run(self, request: Work | Resize, folder: Path, slot: int) -> Outcome:
        zygote = await self._running_zygote()
        self._numbers += 1
        with ImageFiles.open(folder, ORIGINAL, request) as files:
            start = Start(number=self._numbers, slot=slot, request=request, limits=asdict(self.limits))
            ended = await zygote.run(start, files.descriptors, self.limits.sandbox_seconds + _GRACE_SECONDS)
            failure = _failure(ended)
            if failure is not None:
                return failure
            try:
                return files.outcome(self.limits, ended.cpu_seconds)
            except ValueError as error:
                return Failed(reason="bad-reply", detail=str(error)[:1_000])

    async def _running_zygote(self) -> "_Zygote":
        async with self._starting:
            if self._scratch is None:
                raise _Lost
            if self._zygote is None or self._zygote.ended:
                if self._zygote is not None:
                    await self._zygote.stop()
                self._zygote = await _Zygote.start(self._hooks, self._scratch.path)
                self.confinement = self._zygote.confinement
            return self._zygote


def _failure(ended: Ended) -> Failed | None:
    code = os.waitstatus_to_exitcode(ended.status)
    if ended.timed_out or code in (-signal.SIGXCPU, -signal.SIGALRM):
        return Failed(reason="decoder-timeout", detail=f"stopped after {ended.cpu_seconds:.1f} s of CPU time")
    if code < 0:
        name = signal.Signals(-code).name
        return Failed(reason="decoder-crashed" if -code in _CRASHES else "decoder-killed", detail=name)
    return Failed(reason="decoder-crashed", detail=f"exit status {code}") if code else None


class _Zygote:
    """One zygote process and the images in progress in it."""

    def __init__(self, process: asyncio.subprocess.Process, connection: socket.socket) -> None:
        self.confinement: dict[str, bool] = {}
        self.ended = False
        self.pid = process.pid
        self._process = process
        self._connection = connection
        self._waiting: dict[int, asyncio.Future[Ended]] = {}
        self._ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(connection, self._receive)

    @classmethod
    async def start(cls, hooks: Path | None, folder: Path) -> Self:
        """``folder`` takes the file for its error output."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with (
            theirs,
            tempfile.TemporaryFile(dir=folder) as errors,
        ):  # an open pipe would block wait()
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-m",
                "imagesvc.processing.sandbox.zygote",
                str(theirs.fileno()),
                *([str(hooks)] if hooks else []),
                env={"GLIBC_TUNABLES": MALLOC_SETTINGS},
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
            theirs.close()
            zygote = cls(process, ours)
            try:
                async with asyncio.timeout(_START_SECONDS):
                    zygote.confinement = (await zygote._ready).confinement
            except (TimeoutError, _Lost) as error:
                await zygote.stop()
                errors.seek(0)
                message = errors.read().decode("utf-8", "replace")[-2_000:]
                raise SandboxUnavailable(f"the zygote did not start: {message}") from error
            except asyncio.CancelledError:
                await zygote.stop()
                raise
            return zygote

    async def stop(self) -> None:
        """Kill it. Its children end with it."""
        self._close()
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def run(self, start: Start, descriptors: list[int], seconds: float) -> Ended:
        """Raises _Lost."""
        if self.ended:
            raise _Lost
        future: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._waiting[start.number] = future
        try:
            send(self._connection, start, descriptors)
            async with asyncio.timeout(seconds):
                return await future
        except asyncio.CancelledError:
            with suppress(OSError):
                send(self._connection, Stop(stop=start.number))
            raise
        except TimeoutError:
            await self.stop()
            return Ended(number=start.number, status=signal.SIGKILL, timed_out=True, cpu_seconds=0)
        except OSError as error:
            self._close()
            raise _Lost from error
        finally:
            self._waiting.pop(start.number, None)

    def _receive(self) -> None:
        try:
            message, _ = receive(self._connection)
            if message is None:
                self._close()
            elif "ready" in message:
                self._ready.set_result(Ready(**message))
            else:
                ended = Ended(**message)
                future = self._waiting.get(ended.number)
                if future is not None and not future.done():
                    future.set_result(ended)
        except BlockingIOError:
            return
        except (OSError, ValueError, TypeError):
            self._close()

    def _close(self) -> None:
        if self.ended:
            return
        self.ended = True
        asyncio.get_running_loop().remove_reader(self._connection)
        self._connection.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(_Lost())
        if not self._ready.done():
            self._ready.set_exception(_Lost())
            self._ready.exception()  # retrieved, or asyncio would log that it never was
