"""Acknowledged means durable: with the embedded S3 server, a file is on disk before the response says so.

A power cut cannot be made here, so the system calls of all processes are traced (strace): after the last write of the
S3 server and before the response, a sync of its file system must begin and end.
"""

import asyncio
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.cli.test_up import TOKEN, Up
from tests.support.folders import open_folder
from tests.support.images import jpeg
from tests.support.process_tree import wait_until

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
CALLS = "write,pwrite64,writev,sendto,sendmsg,syncfs"
LINE = re.compile(r"^(?P<pid>\d+) +(?P<time>\d+\.\d+) (?P<rest>.*)$")
UPLOADS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Times of the writes to files of the S3 server, of syncs (begin and end), and of responses with 201."""

    writes: list[float]
    syncs: list[tuple[float, float]]
    responses: list[float]


def read_trace(path: Path, folder: Path, *, api: str) -> Trace:
    """``folder`` is that of the S3 server, whose parts also send responses to each other; ``api`` is the API's pid."""
    writes, syncs, responses = [], [], []
    begun: dict[str, float] = {}
    for line in path.read_text(errors="replace").splitlines():
        found = LINE.match(line)
        if found is None:
            continue
        pid, time, rest = found["pid"], float(found["time"]), found["rest"]
        if rest.startswith(("write(", "pwrite64(", "writev(")) and f"<{folder}/" in rest.split(",")[0]:
            writes.append(time)
        elif rest.startswith("syncfs("):
            begun[pid] = time
        if pid == api and "HTTP/1.1 201" in rest:
            responses.append(time)
        if "syncfs" in rest and rest.rstrip().endswith(">") and " = 0 <" in rest:
            duration = float(rest.rstrip().rpartition("<")[2].rstrip(">"))
            syncs.append((begun[pid], begun[pid] + duration))
    return Trace(writes=writes, syncs=syncs, responses=responses)


def traced_uploads(folder: Path, **environment: str) -> Trace:
    """Send files one after the other to `imagesvc up`, whose API and S3 server are traced."""
    trace = folder / "trace"
    with Up(folder / "data", folder / "output", IMAGESVC_ADMIN_TOKEN=TOKEN, **environment) as up:
        up.ready()
        up.child("worker").send_signal(signal.SIGSTOP)  # its renditions would be writes between the others
        pids = [str(up.child(name).pid) for name in ("serve", "weed")]
        attach = [part for pid in pids for part in ("-p", pid)]
        command = ["strace", "-f", "-y", "-ttt", "-T", "-s", "16", "-e", f"trace={CALLS}", "-o", str(trace), *attach]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracing:
            assert tracing.stderr is not None
            for _ in pids:
                assert "attached" in tracing.stderr.readline()
            with httpx.Client(base_url=up.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as client:
                for seed in range(UPLOADS):
                    file = ("file", (f"{seed}.jpg", jpeg(seed=seed)))
                    client.post("/v1/images", files=[file]).raise_for_status()
            weed = folder / "data" / "weed"
            wait_until(lambda: len(read_trace(trace, weed, api=pids[0]).responses) == UPLOADS, "the trace")
            tracing.send_signal(signal.SIGINT)
        up.child("worker").send_signal(signal.SIGCONT)
        up.stop(signal.SIGTERM)
    return read_trace(trace, weed, api=pids[0])


def unsynced_responses(trace: Trace) -> list[float]:
    """Responses that no sync precedes which began after the last write before the response."""
    unsynced = []
    for response in trace.responses:
        last_write = max(time for time in trace.writes if time < response)
        if not any(last_write <= begin and end <= response for begin, end in trace.syncs):
            unsynced.append(response)
    return unsynced


def test_every_file_is_on_disk_before_its_response() -> None:
    with open_folder() as folder:
        trace = traced_uploads(folder)

    assert len(trace.responses) == UPLOADS
    assert len(trace.writes) >= 2 * UPLOADS  # the bytes and the index
    assert unsynced_responses(trace) == []


def test_without_the_setting_nothing_is_synced() -> None:
    """This also shows that the other test can fail."""
    with open_folder() as folder:
        trace = traced_uploads(folder, IMAGESVC_S3_SYNC_FOLDER="")

    assert len(trace.responses) == UPLOADS
    assert len(unsynced_responses(trace)) == UPLOADS


def test_the_database_syncs_each_commit() -> None:
    async def shown(url: str) -> list[str]:
        connection = await asyncpg.connect(url)
        try:
            return [await connection.fetchval(f"SHOW {name}") for name in ("fsync", "synchronous_commit")]
        finally:
            await connection.close()

    with open_folder() as folder, Up(folder / "data", folder / "output", IMAGESVC_ADMIN_TOKEN=TOKEN) as up:
        up.ready()
        url = (folder / "data" / "secrets" / "database-url").read_text().strip()
        assert asyncio.run(shown(url)) == ["on", "on"]
        up.stop(signal.SIGTERM)
