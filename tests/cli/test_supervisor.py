"""The supervisor with small programs in the place of servers."""

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

from imagesvc.cli.process_registry import Ledger
from imagesvc.cli.supervisor import PartFailed, Supervisor, bound_log
from imagesvc.embedded import ProcessSpec
from tests.support.process_tree import alive, wait_until

SLEEPER = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
GOODBYE = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(open({where!r}, 'a').write({name!r} + ' ')))\n"
    "print('listening', flush=True)\n"
    "time.sleep(600)\n"
)


async def at_once() -> bool:
    return True


def part(folder: Path, name: str, program: str) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-c", program),
        env={},
        folder=folder,
        log=folder / f"{name}.log",
        ready=at_once,
        stop_seconds=5.0,
    )


def spoken(of: ProcessSpec, word: str) -> ProcessSpec:
    """Ready once its log has the word."""

    async def ready() -> bool:
        return word in of.log.read_text()

    return replace(of, ready=ready)


@pytest.fixture
def news() -> list[str]:
    return []


@pytest.fixture
async def supervisor(tmp_path: Path, news: list[str]) -> AsyncIterator[Supervisor]:
    made = Supervisor(Ledger(tmp_path / "processes.json"), news.append)
    yield made
    await made.stop(hurry=lambda: True)


async def until_pid_changes(supervisor: Supervisor, name: str, pid: int) -> None:
    async with asyncio.timeout(30):
        while supervisor.pid(name) == pid:
            await asyncio.sleep(0.01)


async def test_a_part_that_dies_again_and_again_is_started_with_a_growing_delay(
    supervisor: Supervisor, news: list[str], tmp_path: Path
) -> None:
    await supervisor.start([part(tmp_path, "frail", SLEEPER)])

    for _ in range(2):
        pid = supervisor.pid("frail")
        psutil.Process(pid).kill()
        await until_pid_changes(supervisor, "frail", pid)

    said = [line for line in news if "starting it again" in line]
    assert "in 0.5 s" in said[0]
    assert "in 1 s" in said[1]


async def test_a_part_that_ends_before_it_is_ready_is_told_with_the_end_of_its_log(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    broken = spoken(part(tmp_path, "broken", "print('no such disk'); raise SystemExit(3)"), "ready")

    with pytest.raises(PartFailed, match=r"(?s)broken ended with exit code 3 while starting.*no such disk"):
        await supervisor.start([broken])


async def test_parts_stop_in_the_opposite_order_of_their_start(supervisor: Supervisor, tmp_path: Path) -> None:
    where = tmp_path / "order"
    for name in ("first", "second", "third"):
        program = GOODBYE.format(where=str(where), name=name)
        await supervisor.start([spoken(part(tmp_path, name, program), "listening")])

    await supervisor.stop()

    assert where.read_text().split() == ["third", "second", "first"]


async def test_a_part_that_ignores_its_signal_is_ended_by_force(supervisor: Supervisor, tmp_path: Path) -> None:
    await supervisor.start([replace(spoken(part(tmp_path, "deaf", DEAF), "deaf"), stop_seconds=0.2)])
    process = psutil.Process(supervisor.pid("deaf"))

    await supervisor.stop()

    assert alive([process]) == []


def supervise_and_print_the_pid(folder: Path) -> subprocess.Popen[str]:
    """A supervisor in a process of its own, with one sleeping part, whose pid it prints."""
    program = (
        "import asyncio, sys; from pathlib import Path\n"
        "from imagesvc.cli.process_registry import Ledger; from imagesvc.cli.supervisor import Supervisor\n"
        "from tests.cli.test_supervisor import SLEEPER, part\n"
        "async def main():\n"
        "    folder = Path(sys.argv[1])\n"
        "    supervisor = Supervisor(Ledger(folder / 'processes.json'), print)\n"
        "    await supervisor.start([part(folder, 'sleeper', SLEEPER)])\n"
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


def test_the_kernel_ends_the_parts_of_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    with supervise_and_print_the_pid(tmp_path) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()

    wait_until(lambda: not psutil.pid_exists(pid) or not alive([psutil.Process(pid)]), "the part is gone")


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes that would sleep for long."""
    made = [subprocess.Popen([sys.executable, "-c", SLEEPER]) for _ in range(2)]
    yield made
    for process in made:
        process.kill()
        process.wait()


def test_what_an_earlier_run_left_is_ended_and_nothing_else_that_has_its_number(
    tmp_path: Path, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    left, stranger = sleepers
    stale, record = tmp_path / "stale.sock", tmp_path / "processes.json"
    stale.touch()
    earlier = Ledger(record)
    earlier.add("left", left.pid, signal.SIGKILL, [stale])
    earlier.add("stranger", stranger.pid, signal.SIGKILL, [])
    # as if the number had belonged to another process when it was written down
    entries = json.loads(record.read_text())
    entries["stranger"]["born"] += "0"
    record.write_text(json.dumps(entries))

    ended = Ledger(record).end_leftovers()

    assert ended == ["left"]
    assert left.wait() == -signal.SIGKILL
    assert stranger.poll() is None
    assert not stale.exists()


def test_a_log_that_has_grown_too_long_is_cut_and_its_end_kept_beside_it(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with open(log, "ab") as writer:
        writer.write(b"old " * 100 + b"last words")
        writer.flush()

        bound_log(log, 100)
        writer.write(b"next")
        writer.flush()

    assert log.read_bytes() == b"next"
    assert (tmp_path / "server.log.1").read_bytes().endswith(b"last words")
    assert (tmp_path / "server.log.1").stat().st_size == 100
