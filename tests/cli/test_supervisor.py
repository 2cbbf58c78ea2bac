"""The supervisor, with small programs in place of servers."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from imagesvc.cli.process_registry import ProcessRegistry
from imagesvc.cli.supervisor import ProcessFailed, Supervisor, trim_log
from imagesvc.embedded import ProcessSpec
from tests.support.process_tree import alive, wait_until

SLEEPER = "import time; time.sleep(600)"
IGNORES_SIGTERM = (
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('listening', flush=True)\n"
    "time.sleep(600)\n"
)
RECORDS_ITS_STOP = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(open({where!r}, 'a').write({name!r} + ' ')))\n"
    "print('listening', flush=True)\n"
    "time.sleep(600)\n"
)


async def ready_at_once() -> bool:
    return True


def spec_of(folder: Path, name: str, program: str) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-c", program),
        env={},
        folder=folder,
        log=folder / f"{name}.log",
        ready=ready_at_once,
        stop_seconds=5.0,
    )


def ready_once_logged(spec: ProcessSpec, word: str) -> ProcessSpec:
    """The process is ready when its log contains the word."""

    async def ready() -> bool:
        assert spec.log is not None
        return word in spec.log.read_text()

    return replace(spec, ready=ready)


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
async def supervisor(tmp_path: Path, reports: list[str]) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(ProcessRegistry(tmp_path / "processes.json"), reports.append)
    yield supervisor
    await supervisor.stop(hurry=lambda: True)


async def until_pid_changes(supervisor: Supervisor, name: str, pid: int) -> None:
    async with asyncio.timeout(30):
        while supervisor.pid(name) == pid:
            await asyncio.sleep(0.01)


async def test_a_process_that_keeps_dying_restarts_with_a_growing_delay(
    supervisor: Supervisor, reports: list[str], tmp_path: Path
) -> None:
    await supervisor.start([spec_of(tmp_path, "frail", SLEEPER)])

    for _ in range(2):
        pid = supervisor.pid("frail")
        psutil.Process(pid).kill()
        await until_pid_changes(supervisor, "frail", pid)

    restarts = [line for line in reports if "restarting in" in line]
    assert "in 0.5 s" in restarts[0]
    assert "in 1 s" in restarts[1]


async def test_a_process_that_ends_before_it_is_ready_fails_with_the_end_of_its_log(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    broken = ready_once_logged(spec_of(tmp_path, "broken", "print('no such disk'); raise SystemExit(3)"), "ready")

    with pytest.raises(ProcessFailed, match=r"(?s)broken ended with exit code 3 while starting.*no such disk"):
        await supervisor.start([broken])


async def test_processes_stop_in_reverse_order_of_their_start(supervisor: Supervisor, tmp_path: Path) -> None:
    where = tmp_path / "order"
    for name in ("first", "second", "third"):
        program = RECORDS_ITS_STOP.format(where=str(where), name=name)
        await supervisor.start([ready_once_logged(spec_of(tmp_path, name, program), "listening")])

    await supervisor.stop()

    assert where.read_text().split() == ["third", "second", "first"]


async def test_a_process_that_ignores_its_stop_signal_is_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    await supervisor.start(
        [replace(ready_once_logged(spec_of(tmp_path, "deaf", IGNORES_SIGTERM), "listening"), stop_seconds=0.2)]
    )
    process = psutil.Process(supervisor.pid("deaf"))

    await supervisor.stop()

    assert alive([process]) == []


def supervise_and_print_the_pid(folder: Path) -> subprocess.Popen[str]:
    """Start a supervisor in another process; it supervises a sleeping process and prints its pid."""
    program = (
        "import asyncio, sys; from pathlib import Path\n"
        "from imagesvc.cli.process_registry import ProcessRegistry; from imagesvc.cli.supervisor import Supervisor\n"
        "from tests.cli.test_supervisor import SLEEPER, spec_of\n"
        "async def main():\n"
        "    folder = Path(sys.argv[1])\n"
        "    supervisor = Supervisor(ProcessRegistry(folder / 'processes.json'), print)\n"
        "    await supervisor.start([spec_of(folder, 'sleeper', SLEEPER)])\n"
        "    print(supervisor.pid('sleeper'), flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_the_kernel_ends_the_processes_of_a_killed_supervisor(tmp_path: Path) -> None:
    with supervise_and_print_the_pid(tmp_path) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()

    wait_until(lambda: not psutil.pid_exists(pid) or not alive([psutil.Process(pid)]), "the process has ended")


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes that sleep."""
    made = [subprocess.Popen([sys.executable, "-c", SLEEPER]) for _ in range(2)]
    yield made
    for process in made:
        process.kill()
        process.wait()


def test_orphans_of_an_earlier_run_are_stopped_but_not_a_process_with_a_reused_pid(
    tmp_path: Path, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    left, stranger = sleepers
    stale, record = tmp_path / "stale.sock", tmp_path / "processes.json"
    stale.touch()
    earlier = ProcessRegistry(record)
    earlier.add("left", left.pid, signal.SIGKILL, [stale])
    earlier.add("stranger", stranger.pid, signal.SIGKILL, [])
    # as if another process had had this pid when it was recorded
    entries = json.loads(record.read_text())
    entries["stranger"]["born"] += "0"
    record.write_text(json.dumps(entries))

    stopped = ProcessRegistry(record).stop_orphans()

    assert stopped == ["left"]
    assert left.wait() == -signal.SIGKILL
    assert stranger.poll() is None
    assert not stale.exists()


def test_a_long_log_is_truncated_and_its_end_is_kept_beside_it(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with open(log, "ab") as writer:
        writer.write(b"old " * 100 + b"last lines")
        writer.flush()

        trim_log(log, 100)
        writer.write(b"next")
        writer.flush()

    assert log.read_bytes() == b"next"
    assert (tmp_path / "server.log.1").read_bytes().endswith(b"last lines")
    assert (tmp_path / "server.log.1").stat().st_size == 100
