"""`imagesvc upload` beside a bare asyncio and httpx uploader: a thousand small files over loopback, in turns.

Both are processes of their own and timed from their start to their end; the service is the same.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.bare_client import IN_FLIGHT
from bench.clients import new_link
from bench.files import Files
from bench.programs import web
from bench.progress import say
from bench.rounds import ratios, spread, turns
from bench.servers import Servers

FILES, ROUNDS = 1000, 3
SIZES = {"50 kB": 50_000}
BARE, OURS = "bare httpx", "`imagesvc upload`"
LOOK_SECONDS = 0.05
MIN_RATE_OF_BARE, MAX_MEMORY_MB = 0.8, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    seconds: float
    cpu_seconds: float
    max_bytes: int


def ended(command: Sequence[str], environ: dict[str, str]) -> Ended:
    """What a process took, which must succeed."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environ)
    most, is_over = 0, False
    while not is_over:
        # asked of the kernel while it lives: what wait4 tells, and the first look, may be of the process that forked it
        most = _max_bytes(process.pid) or most
        time.sleep(LOOK_SECONDS)
        is_over = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{command[2]} ended with {process.returncode}")
    return Ended(seconds=seconds, cpu_seconds=usage.ru_utime + usage.ru_stime, max_bytes=most)


def _max_bytes(pid: int) -> int:
    """The most that it has had in memory at a time so far; 0 when it is over."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def fill(folder: Path, size: int) -> None:
    """New contents, so that each is sent."""
    files = Files(size)
    for number in range(FILES):
        (folder / f"{number:04}.jpg").write_bytes(files.next())


async def measure(servers: Servers) -> str:
    lines = ["| file | uploader | files/s | of bare | CPU ms a file | most MB |", "|---|---|---:|---:|---:|---:|"]
    settings = await servers.fresh("client")
    folder = servers.folder / "pictures"
    async with web(settings, servers.folder / "client.log") as (url, _pid):
        link = await new_link(url, settings)
        journals = str(servers.folder / "journals")
        environ = os.environ | {"IMAGESVC_LINK": f"{url}/u/{link.rpartition('/')[2]}", "XDG_STATE_HOME": journals}
        commands = {
            BARE: (sys.executable, "-m", "bench.bare_client", str(folder)),
            OURS: (sys.executable, "-m", "imagesvc", "upload", str(folder), "--concurrency", str(IN_FLIGHT)),
        }
        for name, size in SIZES.items():
            folder.mkdir()
            taken: dict[str, list[Ended]] = defaultdict(list)
            for number in range(ROUNDS):
                say(f"{name}, round {number + 1} of {ROUNDS}")
                for who in turns(list(commands), number):
                    await asyncio.to_thread(fill, folder, size)
                    taken[who].append(await asyncio.to_thread(ended, commands[who], environ))
            rates = {who: [FILES / one.seconds for one in taken[who]] for who in commands}
            for who in commands:
                cpu = spread([one.cpu_seconds / FILES * 1000 for one in taken[who]], 2)
                memory = max(one.max_bytes for one in taken[who]) / 2**20
                of_bare = spread(ratios(rates[who], rates[BARE]), 2)
                lines.append(f"| {name} | {who} | {spread(rates[who])} | {of_bare} | {cpu} | {memory:.0f} |")
            shutil.rmtree(folder)
    wanted = f"{MIN_RATE_OF_BARE} of the bare uploader or more, {MAX_MEMORY_MB} MB or less"
    return "\n".join([*lines, "", f"{FILES} files a round, {IN_FLIGHT} in flight. Wanted: {wanted}."])
