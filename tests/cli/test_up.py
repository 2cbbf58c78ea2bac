"""`imagesvc up` as a person and a process manager see it: started, stopped, killed, started again."""

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

TOKEN = "a-token-of-the-tests-that-nobody-guesses-0123"


class Up:
    """One `imagesvc up` and what it has said so far."""

    def __init__(self, data: Path, said: Path, **environment: str) -> None:
        self.data, self._said = data, said
        clean = {name: value for name, value in os.environ.items() if not name.startswith("IMAGESVC_")}
        with open(said, "a") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "imagesvc", "up", "--data-dir", str(data), "--port", "0"],
                env=clean | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._heard = said.stat().st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        kill(self.tree())
        self.process.wait()

    def said(self) -> str:
        """Everything, from the first start in this folder on."""
        return self._said.read_text()

    def ready(self) -> Self:
        wait_until(lambda: "\nURL " in self._news() or self.process.poll() is not None, f"up: {self.said()}")
        assert self.process.poll() is None, self.said()
        return self

    def _news(self) -> str:
        return self.said()[self._heard :]

    @property
    def url(self) -> str:
        return self._news().partition("\nURL")[2].split()[0]

    def tree(self) -> list[psutil.Process]:
        return tree(self.process.pid)

    def child(self, word: str) -> psutil.Process:
        """The one that is called so, or has the word among its arguments."""
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if word in {*child.cmdline()[1:], child.name()})

    def stop(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)


@pytest.fixture(scope="module")
def whole() -> Iterator[Up]:
    """One that runs everything itself, shared by the tests that leave it as it was."""
    with open_folder() as folder, Up(folder / "data", folder / "said") as up:
        yield up.ready()
        up.stop(signal.SIGTERM)


@pytest.fixture
def named(settings: Settings) -> dict[str, str]:
    """The servers of the test run, as the environment names them."""
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


def test_the_printed_token_is_the_admin_token_and_is_kept_for_its_owner_alone(whole: Up) -> None:
    kept = whole.data / "secrets" / "admin-token"

    answer = httpx.get(f"{whole.url}/v1/stats", headers=authorized(kept.read_text().strip()))

    assert answer.status_code == 200
    assert kept.read_text().strip() in whole.said()
    assert S_IMODE(kept.stat().st_mode) == 0o600


def test_a_second_up_on_the_same_folder_says_so_and_exits_1(whole: Up) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "imagesvc", "up", "--data-dir", str(whole.data)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert second.returncode == 1
    assert f"already running on {whole.data} (process {whole.process.pid})" in second.stderr
    assert httpx.get(f"{whole.url}/readyz").status_code == 200


def test_no_secret_is_in_an_argument_or_a_log(whole: Up) -> None:
    secrets = {path.name: path.read_text().strip() for path in (whole.data / "secrets").iterdir()}
    secrets |= {"signing key": secrets["secret-keys"].partition(":")[2]}
    logs = "\n".join(path.read_text(errors="replace") for path in (whole.data / "logs").iterdir())

    seen = arguments(whole.tree()) + logs + whole.said().replace(secrets["admin-token"], "", 1)

    assert "weed" in secrets["weed-signing-key"] + seen
    assert [name for name, secret in secrets.items() if secret in seen] == []


def test_everything_listens_on_loopback_only(whole: Up) -> None:
    assert listening_addresses(whole.tree()) == {"127.0.0.1"}


def test_the_data_folder_and_what_is_in_it_are_closed_to_other_accounts(whole: Up) -> None:
    ours = [path for path in files_below(whole.data) if "objects" not in path.parts]

    assert S_IMODE(whole.data.stat().st_mode) == 0o700
    assert [str(path) for path in ours if S_IMODE(path.lstat().st_mode) & 0o077] == []


@pytest.mark.parametrize(("part", "word"), [("valkey", "valkey-server"), ("worker", "worker"), ("serve", "serve")])
def test_a_part_that_is_killed_is_started_again_and_that_is_said(whole: Up, part: str, word: str) -> None:
    first = whole.child(word)

    first.kill()

    wait_until(lambda: f"{part} ended by SIGKILL; starting it again in" in whole.said(), "said that it ended")
    wait_until(lambda: f"{part} runs again" in whole.said(), "said that it runs again")
    assert whole.child(word).pid != first.pid
    wait_until(lambda: _is_ready(whole.url), "ready again")


def test_after_a_kill_of_the_whole_tree_the_next_up_recovers_with_all_data_and_stops_without_a_trace(
    shared_tmp_path: Path,
) -> None:
    data, said = shared_tmp_path / "data", shared_tmp_path / "said"
    with Up(data, said, IMAGESVC_ADMIN_TOKEN=TOKEN) as first:
        made = httpx.post(
            f"{first.ready().url}/v1/links", json={"expires_in": 3600}, headers=authorized(TOKEN)
        ).raise_for_status()
        everything = first.tree()
        kill(everything)
        wait_until(lambda: not alive(everything), "all dead")

    with Up(data, said, IMAGESVC_ADMIN_TOKEN=TOKEN) as second:
        kept = httpx.get(f"{second.ready().url}/v1/links/{made.json()['id']}", headers=authorized(TOKEN))
        everything = second.tree()
        assert kept.status_code == 200
        assert second.stop(signal.SIGTERM) == 0

    assert alive(everything) == []
    assert [path for path in files_below(data) if path.is_socket()] == []


def test_when_up_itself_is_killed_its_parts_go_with_it(shared_tmp_path: Path, named: dict[str, str]) -> None:
    named.pop("IMAGESVC_DATABASE_URL")
    with Up(shared_tmp_path / "data", shared_tmp_path / "said", **named) as up:
        parts = up.ready().tree()[1:]

        up.process.kill()

        wait_until(lambda: not alive(parts), "all parts gone")


def test_servers_that_the_environment_names_are_used_and_not_started(tmp_path: Path, named: dict[str, str]) -> None:
    with Up(tmp_path / "data", tmp_path / "said", **named, IMAGESVC_ADMIN_TOKEN=TOKEN) as up:
        running = arguments(up.ready().tree())

        assert httpx.get(f"{up.url}/v1/stats", headers=authorized(TOKEN)).status_code == 200
        assert TOKEN not in up.said()
        assert [name for name in ("postgres", "valkey-server", "weed") if name in running] == []
        assert up.stop(signal.SIGINT) == 0


def test_a_signal_while_it_starts_stops_it_without_a_trace(shared_tmp_path: Path) -> None:
    with Up(shared_tmp_path / "data", shared_tmp_path / "said") as up:
        wait_until(lambda: len(up.tree()) > 2, "some parts run")
        parts = up.tree()

        up.stop(signal.SIGTERM)

        wait_until(lambda: not alive(parts), "all parts gone", seconds=5)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False
