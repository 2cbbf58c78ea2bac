"""Runs several processes of one command: of `serve`, which share its port, or of `worker`.

The parent does no work. It restarts a process that dies, and ends when one cannot start. A process that is ready says
so through a pipe: the parent cannot ask one of several behind the same port.
"""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from imagesvc.cli.environment import READY_VARIABLE
from imagesvc.cli.errors import EXIT_FAILED, print_error
from imagesvc.cli.process_registry import ProcessRegistry
from imagesvc.cli.supervisor import ProcessFailed, Supervisor
from imagesvc.embedded import ProcessSpec
from imagesvc.metrics.exposition import FOLDER_VARIABLE
from imagesvc.settings import Settings

START_SECONDS = 60.0
STOP_MARGIN_SECONDS = 6.0
"""How much longer than the shutdown timeout a process has to stop before it is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A command that becomes several processes. ``first_only`` are variables that only the first one gets."""

    name: str
    count: int
    environment: Mapping[str, str]
    first_only: Mapping[str, str]
    inherited: tuple[int, ...] = ()


def run_processes(program: Program, settings: Settings) -> int:
    """Run until a signal. Returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="imagesvc-", ignore_cleanup_errors=True) as folder:
        return asyncio.run(_run(program, settings, Path(folder)))


async def _run(program: Program, settings: Settings, folder: Path) -> int:
    stop, signals = asyncio.Event(), 0

    def on_signal() -> None:
        nonlocal signals
        signals += 1
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    supervisor = Supervisor(ProcessRegistry(folder / "processes.json"), print_error)
    specs = [_spec(program, number, settings, folder) for number in range(program.count)]
    starting = asyncio.create_task(supervisor.start(specs))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            starting.result()
            await stopping
    except ProcessFailed as failed:
        print_error(str(failed).strip())
        return EXIT_FAILED
    finally:
        for task in (starting, stopping):
            task.cancel()
        for descriptor in program.inherited:
            os.close(descriptor)  # clients no longer wait for a process that will not come
        await asyncio.gather(starting, stopping, return_exceptions=True)
        await supervisor.stop(hurry=lambda: signals > 1, at_once=True)
    return 0


def _spec(program: Program, number: int, settings: Settings, folder: Path) -> ProcessSpec:
    ready, ready_writer = os.pipe()
    os.set_blocking(ready, False)

    async def is_ready() -> bool:
        with suppress(BlockingIOError):
            return bool(os.read(ready, 1))
        return False

    own = program.first_only if number == 0 else {}
    return ProcessSpec(
        name=f"{program.name} {number + 1}",
        argv=(sys.executable, "-P", "-m", "imagesvc", program.name, "--processes", "1"),
        env={
            **{name: value for name, value in os.environ.items() if name not in program.first_only},
            **program.environment,
            **own,
            FOLDER_VARIABLE: str(folder),
            READY_VARIABLE: str(ready_writer),
        },
        folder=Path.cwd(),
        log=None,
        ready=is_ready,
        start_seconds=START_SECONDS,
        stop_seconds=settings.shutdown_seconds + STOP_MARGIN_SECONDS,
        inherited=(*program.inherited, ready_writer),
    )
