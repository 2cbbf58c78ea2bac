"""The real PostgreSQL, Valkey and S3 server of a test run, shared by all its processes. The first test starts them.

A separate host process (this module as a program) runs them under the supervisor of the service, in the folder of the
run. The controlling pytest process stops the host at the end; if it is killed, the host notices and stops.
IMAGESVC_TEST_DATABASE_URL, _REDIS_URL and _S3_ENDPOINT (with _S3_ACCESS_KEY, _S3_SECRET_KEY, _S3_REGION) name external
servers that are used instead. The user of the database URL must have the right to create databases.
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

from imagesvc.cli.process_registry import ProcessRegistry, process_identity
from imagesvc.cli.supervisor import Supervisor
from imagesvc.embedded import ALL_SERVERS, DataFolder, EmbeddedServers
from imagesvc.embedded.data_folder import write_private
from tests.support.folders import make_open_folder

RUN_FOLDER = "IMAGESVC_TEST_RUN_FOLDER"
START_SECONDS = 60.0
STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """``admin_url`` can create databases for the user of ``role_url``. ``run`` is the folder of the test run."""

    admin_url: str
    role_url: str
    redis_url: str
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    s3_region: str
    run: Path

    def database(self, name: str) -> str:
        """The URL of a database."""
        return with_path(self.role_url, f"/{name}")

    @property
    def role(self) -> str:
        return urlsplit(self.role_url).username or "postgres"


def with_path(url: str, path: str) -> str:
    """The URL with another path."""
    return urlunsplit(urlsplit(url)._replace(path=path))


def begin_run() -> Path:
    """Create the folder of this run. Called in the controlling process.

    In memory: making and dropping a database for each test costs a file system on a disk a tenth of the run.
    """
    folder = make_open_folder("imagesvc-tests-", in_memory=True)
    os.environ[RUN_FOLDER] = str(folder)
    (folder / "controller").write_text(str(os.getpid()))
    return folder


def end_run(folder: Path) -> None:
    """Stop the servers and delete the folder. Called in the controlling process."""
    with contextlib.suppress(FileNotFoundError):
        host = json.loads((folder / "host.json").read_text())
        deadline = time.monotonic() + STOP_SECONDS
        if process_identity(host["pid"]) == host["born"]:
            os.kill(host["pid"], signal.SIGTERM)
        while process_identity(host["pid"]) == host["born"] and time.monotonic() < deadline:
            time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def only_one(folder: Path, what: str) -> Iterator[None]:
    """A lock between the processes of the run."""
    with open(folder / f"{what}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def running_servers() -> Servers:
    """The servers of this run, started on the first call. Raises RuntimeError with the log of the host."""
    run = Path(os.environ[RUN_FOLDER])
    external = _external()
    with only_one(run, "servers"):
        ready = run / "servers.json"
        if not ready.exists() and len(external) < len(ALL_SERVERS):
            _start_host(run, ready)
    found: dict[str, str] = json.loads(ready.read_text()) if ready.exists() else {}
    for settings in external.values():
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
    (run / "host.json").write_text(json.dumps({"pid": host.pid, "born": process_identity(host.pid)}))
    deadline = time.monotonic() + START_SECONDS
    while not ready.exists():
        if host.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the servers of the tests did not start:\n{(run / 'host.log').read_text()}")
        time.sleep(0.02)


def _external() -> Mapping[str, dict[str, str]]:
    """The external servers that the environment names, by the name of the server that they replace."""
    external: dict[str, dict[str, str]] = {}
    if url := os.environ.get("IMAGESVC_TEST_DATABASE_URL"):
        external["postgres"] = {"admin_url": url, "role_url": url}
    if url := os.environ.get("IMAGESVC_TEST_REDIS_URL"):
        external["valkey"] = {"redis_url": url}
    if endpoint := os.environ.get("IMAGESVC_TEST_S3_ENDPOINT"):
        external["weed"] = {
            "s3_endpoint": endpoint,
            "s3_access_key": os.environ["IMAGESVC_TEST_S3_ACCESS_KEY"],
            "s3_secret_key": os.environ["IMAGESVC_TEST_S3_SECRET_KEY"],
            "s3_region": os.environ.get("IMAGESVC_TEST_S3_REGION", "us-east-1"),
        }
    return external


async def _host(run: Path) -> None:
    """Run the servers until the controlling process sends a signal or exits."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    controller = os.pidfd_open(int((run / "controller").read_text()))
    loop.add_reader(controller, stop.set)
    with DataFolder(run / "data") as data:
        servers = EmbeddedServers(data, wanted=ALL_SERVERS - set(_external()), throwaway=True)
        supervisor = Supervisor(ProcessRegistry(data.run / "processes.json"), print)
        try:
            await supervisor.start(await servers.prepare())
            await servers.create_database()
            fresh = run / "servers.new"
            # other accounts can enter the folder of the run
            write_private(fresh, json.dumps(_addresses(servers)))
            fresh.rename(run / "servers.json")
            await stop.wait()
        finally:
            await supervisor.stop(hurry=lambda: True)


def _addresses(servers: EmbeddedServers) -> dict[str, str]:
    found: dict[str, str] = {}
    if servers.postgres is not None:
        found |= {"admin_url": servers.postgres.admin_url, "role_url": servers.postgres.url}
    if servers.valkey is not None:
        found["redis_url"] = servers.valkey.url
    if servers.seaweedfs is not None:
        found |= {
            "s3_endpoint": servers.seaweedfs.endpoint,
            "s3_access_key": servers.seaweedfs.access_key,
            "s3_secret_key": servers.seaweedfs.secret_key,
            "s3_region": "us-east-1",
        }
    return found


if __name__ == "__main__":
    run_folder = Path(sys.argv[1])
    try:
        asyncio.run(_host(run_folder))
    finally:
        # when the controlling process was killed, no other process deletes the folder
        shutil.rmtree(run_folder, ignore_errors=True)
