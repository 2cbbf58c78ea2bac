"""The real PostgreSQL, Valkey and S3 server of a test run: one set for all its processes, started by the first to ask.

They run under the service's own supervisor in a process of their own (this module as a program), in a folder of the
run, and end with it: the controlling pytest stops them, and when it is killed they notice by themselves.
Servers named by IMAGESVC_TEST_DATABASE_URL, _REDIS_URL or _S3_ENDPOINT (with _S3_ACCESS_KEY, _S3_SECRET_KEY,
_S3_REGION) are used instead; the database URL's user must be allowed to make databases.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from imagesvc.cli.process_registry import Ledger, birth
from imagesvc.cli.supervisor import Supervisor
from imagesvc.embedded import ALL, DataFolder, EmbeddedServers
from imagesvc.embedded.data_folder import write_private
from tests.support.folders import make_open_folder

RUN_FOLDER = "IMAGESVC_TEST_RUN_FOLDER"
START_SECONDS = 60.0
STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """``admin_url`` may make databases, which ``role_url``'s user then owns. ``run`` is the folder of the whole run."""

    admin_url: str
    role_url: str
    redis_url: str
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    s3_region: str
    run: Path

    def database(self, name: str) -> str:
        return with_path(self.role_url, f"/{name}")

    @property
    def role(self) -> str:
        return urlsplit(self.role_url).username or "postgres"


def with_path(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=path))


def begin_run() -> Path:
    """In the controlling process: make the folder of this run, where the first test that needs servers starts them."""
    folder = make_open_folder("imagesvc-tests-")
    os.environ[RUN_FOLDER] = str(folder)
    (folder / "controller").write_text(str(os.getpid()))
    return folder


def end_run(folder: Path) -> None:
    """In the controlling process: stop what was started and remove the folder."""
    with contextlib.suppress(FileNotFoundError):
        host = json.loads((folder / "host.json").read_text())
        deadline = time.monotonic() + STOP_SECONDS
        if birth(host["pid"]) == host["born"]:
            os.kill(host["pid"], signal.SIGTERM)
        while birth(host["pid"]) == host["born"] and time.monotonic() < deadline:
            time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def only_one(folder: Path, what: str) -> Iterator[None]:
    """A lock among the processes of the run."""
    with open(folder / f"{what}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def running_servers() -> Servers:
    """The servers of this run, started when this is the first to ask. Raises RuntimeError with the host's log."""
    run = Path(os.environ[RUN_FOLDER])
    named = _named()
    with only_one(run, "servers"):
        ready = run / "servers.json"
        if not ready.exists() and len(named) < len(ALL):
            _start_host(run, ready)
    found: dict[str, str] = json.loads(ready.read_text()) if ready.exists() else {}
    for settings in named.values():
        found |= settings
    return Servers(**found, run=run)


def _start_host(run: Path, ready: Path) -> None:
    with open(run / "host.log", "w") as log:
        host = subprocess.Popen(
            [sys.executable, "-m", "tests.support.servers", str(run)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (run / "host.json").write_text(json.dumps({"pid": host.pid, "born": birth(host.pid)}))
    deadline = time.monotonic() + START_SECONDS
    while not ready.exists():
        if host.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the servers of the tests did not start:\n{(run / 'host.log').read_text()}")
        time.sleep(0.02)


def _named() -> Mapping[str, dict[str, str]]:
    """What the environment names, by the server that need not be started then."""
    named: dict[str, dict[str, str]] = {}
    if url := os.environ.get("IMAGESVC_TEST_DATABASE_URL"):
        named["postgres"] = {"admin_url": url, "role_url": url}
    if url := os.environ.get("IMAGESVC_TEST_REDIS_URL"):
        named["valkey"] = {"redis_url": url}
    if endpoint := os.environ.get("IMAGESVC_TEST_S3_ENDPOINT"):
        named["weed"] = {
            "s3_endpoint": endpoint,
            "s3_access_key": os.environ["IMAGESVC_TEST_S3_ACCESS_KEY"],
            "s3_secret_key": os.environ["IMAGESVC_TEST_S3_SECRET_KEY"],
            "s3_region": os.environ.get("IMAGESVC_TEST_S3_REGION", "us-east-1"),
        }
    return named


async def _host(run: Path) -> None:
    """Run the servers until the controlling process says so or is gone."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    controller = os.pidfd_open(int((run / "controller").read_text()))
    loop.add_reader(controller, over.set)
    with DataFolder(run / "data") as data:
        servers = EmbeddedServers(data, wanted=ALL - set(_named()), throwaway=True)
        supervisor = Supervisor(Ledger(data.run / "processes.json"), print)
        try:
            await supervisor.start(await servers.prepare())
            await servers.settle()
            fresh = run / "servers.new"
            # other accounts can enter the folder of the run
            write_private(fresh, json.dumps(_addresses(servers)))
            fresh.rename(run / "servers.json")
            await over.wait()
        finally:
            await supervisor.stop(hurry=lambda: True)


def _addresses(servers: EmbeddedServers) -> dict[str, str]:
    found: dict[str, str] = {}
    if servers.postgres is not None:
        found |= {"admin_url": servers.postgres.admin_url, "role_url": servers.postgres.url}
    if servers.valkey is not None:
        found["redis_url"] = servers.valkey.url
    if servers.weed is not None:
        found |= {
            "s3_endpoint": servers.weed.endpoint,
            "s3_access_key": servers.weed.access_key,
            "s3_secret_key": servers.weed.secret_key,
            "s3_region": "us-east-1",
        }
    return found


if __name__ == "__main__":
    where = Path(sys.argv[1])
    try:
        asyncio.run(_host(where))
    finally:
        # the controlling process may have been killed, and then nobody else removes it
        shutil.rmtree(where, ignore_errors=True)
