"""Starts, queries, measures and stops the processes of a run."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil

from imagesvc.settings import Settings
from tests.support.processes import environment, free_port, until

MAX_ANSWER_SECONDS = 300.0


def cpu_seconds(pid: int) -> float:
    """CPU time of a process in user and kernel mode; the resolution is the kernel's tick (10 ms)."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def tree_cpu_seconds(pid: int) -> float:
    """CPU time of a process, of its living descendants, and of the descendants that it has waited for."""
    process = psutil.Process(pid)
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(each.cpu_times()[:4])
    return total


def memory_bytes(pid: int) -> int:
    """Current resident memory of a process."""
    return int(psutil.Process(pid).memory_info().rss)


def max_memory_bytes(pid: int) -> int:
    """Peak resident memory of a process since its start or the last ``reset_max_memory``."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not report peak memory")


def reset_max_memory(pid: int) -> None:
    """Reset the peak memory of a process to its current memory."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


class JsonProcess:
    """A process that answers each line of JSON on stdin with a line of JSON on stdout."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def request(self, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments).encode() + b"\n")
        async with asyncio.timeout(MAX_ANSWER_SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("a benchmark program exited; see its log")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.asynccontextmanager
async def json_process(module: str, log: Path, environ: Mapping[str, str] | None = None) -> AsyncIterator[JsonProcess]:
    """Yields a process that runs a module of the benchmark; its stderr is appended to ``log``."""
    async with _process(("-m", module), log, environ or os.environ) as process:
        yield JsonProcess(process)


@contextlib.asynccontextmanager
async def web(
    settings: Settings, log: Path, *command: str, python: str = sys.executable
) -> AsyncIterator[tuple[str, int]]:
    """Yields (URL, pid) of a web process. ``command``: arguments of `python`, by default those of `imagesvc serve`."""
    port = free_port()
    listening = settings.model_copy(update={"host": "127.0.0.1", "port": port})
    url = f"http://127.0.0.1:{port}"
    async with (
        _process(command or ("-m", "imagesvc", "serve"), log, _environment(listening), python) as process,
        httpx.AsyncClient(base_url=url) as client,
    ):

        async def is_alive() -> bool:
            if process.returncode is not None:
                raise RuntimeError("the web process exited; see its log")
            with contextlib.suppress(httpx.TransportError):
                return (await client.get("/livez")).status_code == 200
            return False

        await until(is_alive)
        yield url, process.pid


@contextlib.asynccontextmanager
async def worker(settings: Settings, log: Path, *, python: str = sys.executable) -> AsyncIterator[int]:
    """Yields the pid of a worker."""
    async with _process(("-m", "imagesvc", "worker"), log, _environment(settings), python) as process:
        yield process.pid


def _environment(settings: Settings) -> dict[str, str]:
    return environment(settings) | {"IMAGESVC_HOST": settings.host, "IMAGESVC_PORT": str(settings.port)}


@contextlib.asynccontextmanager
async def _process(
    arguments: tuple[str, ...], log: Path, environ: Mapping[str, str], python: str = sys.executable
) -> AsyncIterator[asyncio.subprocess.Process]:
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            python,
            *arguments,
            env=dict(environ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()
