"""`imagesvc up` from outside: started, stopped, killed, started again."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE
from typing import Self

import httpx
import psutil
import pytest

from imagesvc.settings import Settings
from tests.support.folders import open_folder
from tests.support.process_tree import alive, arguments, files_below, kill, listening_addresses, tree, wait_until

TOKEN = "a-token-of-the-tests-that-is-hard-to-guess-0123"


class Up:
    """One run of `imagesvc up`. ``output`` is the file that it and earlier runs print to."""

    def __init__(self, data: Path, output: Path, **environment: str) -> None:
        self.data, self._output = data, output
        clean = {name: value for name, value in os.environ.items() if not name.startswith("IMAGESVC_")}
        with open(output, "a") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "imagesvc", "up", "--data-dir", str(data), "--port", "0"],
                env=clean | environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self._output_start = output.stat().st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        kill(self.tree())
        self.process.wait()

    def output(self) -> str:
        """The output of this run and of earlier ones in this folder."""
        return self._output.read_text()

    def ready(self) -> Self:
        """Wait until it has printed its URL."""
        wait_until(lambda: "\nURL " in self._own_output() or self.process.poll() is not None, f"up: {self.output()}")
        assert self.process.poll() is None, self.output()
        return self

    def _own_output(self) -> str:
        return self._output.read_bytes()[self._output_start :].decode()

    @property
    def url(self) -> str:
        return self._own_output().partition("\nURL")[2].split()[0]

    def tree(self) -> list[psutil.Process]:
        return tree(self.process.pid)

    def child(self, word: str) -> psutil.Process:
        """The child process with this name or argument."""
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if word in {*child.cmdline()[1:], child.name()})

    def stop(self, number: signal.Signals) -> int:
        """Returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture(scope="module")
def shared_up() -> Iterator[Up]:
    """One that runs all servers itself, shared by the tests that do not change it."""
    with open_folder() as folder, Up(folder / "data", folder / "output") as up:
        yield up.ready()
        up.stop(signal.SIGTERM)


@pytest.fixture
def external_servers(settings: Settings) -> dict[str, str]:
    """The servers of the test run as environment variables."""
    return {
        "IMAGESVC_DATABASE_URL": settings.database_url.get_secret_value(),
        "IMAGESVC_REDIS_URL": settings.redis_url.get_secret_value(),
        "IMAGESVC_S3_ENDPOINT": settings.s3_endpoint,
        "IMAGESVC_S3_ACCESS_KEY": settings.s3_access_key.get_secret_value(),
        "IMAGESVC_S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        "IMAGESVC_S3_BUCKET": settings.s3_bucket,
        "IMAGESVC_S3_REGION": settings.s3_region,
    }


def authorized(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_the_printed_token_is_the_admin_token_and_only_its_owner_can_read_it(shared_up: Up) -> None:
    kept = shared_up.data / "secrets" / "admin-token"

    answer = httpx.get(f"{shared_up.url}/v1/stats", headers=authorized(kept.read_text().strip()))

    assert answer.status_code == 200
    assert kept.read_text().strip() in shared_up.output()
    assert S_IMODE(kept.stat().st_mode) == 0o600


def test_a_second_up_on_the_same_folder_reports_the_first_and_exits_1(shared_up: Up) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "imagesvc", "up", "--data-dir", str(shared_up.data)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert second.returncode == 1
    assert f"already running on {shared_up.data} (process {shared_up.process.pid})" in second.stderr
    assert httpx.get(f"{shared_up.url}/readyz").status_code == 200


def test_no_secret_is_in_an_argument_or_a_log(shared_up: Up) -> None:
    secrets = {path.name: path.read_text().strip() for path in (shared_up.data / "secrets").iterdir()}
    secrets |= {"signing key": secrets["secret-keys"].partition(":")[2]}
    logs = "\n".join(path.read_text(errors="replace") for path in (shared_up.data / "logs").iterdir())

    seen = arguments(shared_up.tree()) + logs + shared_up.output().replace(secrets["admin-token"], "", 1)

    assert "weed" in secrets["weed-signing-key"] + seen
    assert [name for name, secret in secrets.items() if secret in seen] == []


def test_everything_listens_on_loopback_only(shared_up: Up) -> None:
    assert listening_addresses(shared_up.tree()) == {"127.0.0.1"}


def test_the_data_folder_and_its_files_are_closed_to_other_accounts(shared_up: Up) -> None:
    ours = [path for path in files_below(shared_up.data) if "objects" not in path.parts]

    assert S_IMODE(shared_up.data.stat().st_mode) == 0o700
    assert [str(path) for path in ours if S_IMODE(path.lstat().st_mode) & 0o077] == []


@pytest.mark.parametrize(("name", "word"), [("valkey", "valkey-server"), ("worker", "worker"), ("serve", "serve")])
def test_a_killed_process_is_restarted_and_that_is_reported(shared_up: Up, name: str, word: str) -> None:
    first = shared_up.child(word)

    first.kill()

    wait_until(lambda: f"{name} ended by SIGKILL; restarting in" in shared_up.output(), "its end is reported")
    wait_until(lambda: f"{name} restarted" in shared_up.output(), "its restart is reported")
    assert shared_up.child(word).pid != first.pid
    wait_until(lambda: _is_ready(shared_up.url), "ready again")


def test_after_its_tree_is_killed_up_recovers_all_data_and_later_stops_completely(
    shared_tmp_path: Path,
) -> None:
    data, output = shared_tmp_path / "data", shared_tmp_path / "output"
    with Up(data, output, IMAGESVC_ADMIN_TOKEN=TOKEN) as first:
        made = httpx.post(
            f"{first.ready().url}/v1/links", json={"expires_in": 3600}, headers=authorized(TOKEN)
        ).raise_for_status()
        everything = first.tree()
        kill(everything)
        wait_until(lambda: not alive(everything), "all dead")

    with Up(data, output, IMAGESVC_ADMIN_TOKEN=TOKEN) as second:
        kept = httpx.get(f"{second.ready().url}/v1/links/{made.json()['id']}", headers=authorized(TOKEN))
        everything = second.tree()
        assert kept.status_code == 200
        assert second.stop(signal.SIGTERM) == 0

    assert alive(everything) == []
    assert [path for path in files_below(data) if path.is_socket()] == []


def test_when_up_is_killed_its_processes_end_too(shared_tmp_path: Path, external_servers: dict[str, str]) -> None:
    external_servers.pop("IMAGESVC_DATABASE_URL")
    with Up(shared_tmp_path / "data", shared_tmp_path / "output", **external_servers) as up:
        processes = up.ready().tree()[1:]

        up.process.kill()

        wait_until(lambda: not alive(processes), "all processes ended")


def test_servers_named_in_the_environment_are_used_and_not_started(
    tmp_path: Path, external_servers: dict[str, str]
) -> None:
    with Up(tmp_path / "data", tmp_path / "output", **external_servers, IMAGESVC_ADMIN_TOKEN=TOKEN) as up:
        running = arguments(up.ready().tree())

        assert httpx.get(f"{up.url}/v1/stats", headers=authorized(TOKEN)).status_code == 200
        assert TOKEN not in up.output()
        assert [name for name in ("postgres", "valkey-server", "weed") if name in running] == []
        assert up.stop(signal.SIGINT) == 0


def test_a_signal_during_the_start_stops_all_processes(shared_tmp_path: Path) -> None:
    with Up(shared_tmp_path / "data", shared_tmp_path / "output") as up:
        wait_until(lambda: len(up.tree()) > 2, "some processes run")
        processes = up.tree()

        up.stop(signal.SIGTERM)

        wait_until(lambda: not alive(processes), "all processes ended", seconds=5)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False
