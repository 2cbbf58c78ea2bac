"""`imagesvc upload` compared with a minimal asyncio and httpx uploader: a thousand small files over loopback.

Each runs as a process and is timed from start to exit. Both upload to the same service.
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

from bench.api import new_link
from bench.bare_client import IN_FLIGHT
from bench.generated_files import GeneratedFiles
from bench.programs import web
from bench.progress import log_progress
from bench.rounds import ratios, rotated, spread
from bench.servers import Servers

FILES, ROUNDS = 1000, 3
SIZES = {"50 kB": 50_000}
BARE, IMAGESVC = "bare httpx", "`imagesvc upload`"
POLL_SECONDS = 0.05
MIN_RATE_OF_BARE, MAX_MEMORY_MB = 0.8, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessUsage:
    """What a finished process used."""

    seconds: float
    cpu_seconds: float
    max_bytes: int


def run(command: Sequence[str], environ: dict[str, str]) -> ProcessUsage:
    """Run a process to its end. Raises RuntimeError when its exit code is not 0."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environ)
    max_bytes, is_over = 0, False
    while not is_over:
        # read while the process runs, because wait4 and the first poll may report the memory of the forking process
        max_bytes = _max_bytes(process.pid) or max_bytes
        time.sleep(POLL_SECONDS)
        is_over = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{command[2]} exited with {process.returncode}")
    return ProcessUsage(seconds=seconds, cpu_seconds=usage.ru_utime + usage.ru_stime, max_bytes=max_bytes)


def _max_bytes(pid: int) -> int:
    """Peak resident memory of the process; 0 when it has exited."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def fill(folder: Path, size: int) -> None:
    """Write new contents, so that each file is sent."""
    files = GeneratedFiles(size)
    for number in range(FILES):
        (folder / f"{number:04}.jpg").write_bytes(files.next())


async def measure(servers: Servers) -> str:
    lines = ["| file | uploader | files/s | vs. bare | CPU ms per file | peak MB |", "|---|---|---:|---:|---:|---:|"]
    settings = await servers.new_settings("client")
    folder = servers.folder / "pictures"
    async with web(settings, servers.folder / "client.log") as (url, _pid):
        link = await new_link(url, settings)
        journals = str(servers.folder / "journals")
        environ = os.environ | {"IMAGESVC_LINK": f"{url}/u/{link.rpartition('/')[2]}", "XDG_STATE_HOME": journals}
        commands = {
            BARE: (sys.executable, "-m", "bench.bare_client", str(folder)),
            IMAGESVC: (sys.executable, "-m", "imagesvc", "upload", str(folder), "--concurrency", str(IN_FLIGHT)),
        }
        for name, size in SIZES.items():
            folder.mkdir()
            usages: dict[str, list[ProcessUsage]] = defaultdict(list)
            for number in range(ROUNDS):
                log_progress(f"{name}, round {number + 1} of {ROUNDS}")
                for uploader in rotated(list(commands), number):
                    await asyncio.to_thread(fill, folder, size)
                    usages[uploader].append(await asyncio.to_thread(run, commands[uploader], environ))
            rates = {uploader: [FILES / usage.seconds for usage in usages[uploader]] for uploader in commands}
            for uploader in commands:
                cpu = spread([usage.cpu_seconds / FILES * 1000 for usage in usages[uploader]], 2)
                memory = max(usage.max_bytes for usage in usages[uploader]) / 2**20
                vs_bare = spread(ratios(rates[uploader], rates[BARE]), 2)
                lines.append(f"| {name} | {uploader} | {spread(rates[uploader])} | {vs_bare} | {cpu} | {memory:.0f} |")
            shutil.rmtree(folder)
    target = f"at least {MIN_RATE_OF_BARE} of the bare uploader's rate, at most {MAX_MEMORY_MB} MB"
    return "\n".join([*lines, "", f"{FILES} files per round, {IN_FLIGHT} in flight. Target: {target}."])
