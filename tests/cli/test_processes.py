"""`serve --processes` and `worker --processes`: one port, one metrics page, and nothing left behind."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from imagesvc.settings import Settings
from tests.support.images import jpeg
from tests.support.process_tree import tree
from tests.support.processes import environment, free_port, until
from tests.support.scrape import Scrape

NewSettings = Callable[..., Settings]


class Running:
    """An `imagesvc` command whose output is read at its end."""

    def __init__(self, settings: Settings, *command: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "imagesvc", *command],
            env=environment(settings),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def workers(self) -> list[psutil.Process]:
        """The processes that do the work."""
        return [child for child in psutil.Process(self.process.pid).children() if "--processes" in child.cmdline()]

    def ended(self) -> tuple[int, str]:
        """Exit code and standard error."""
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@asynccontextmanager
async def running(settings: Settings, *command: str) -> AsyncIterator[Running]:
    started = Running(settings, *command)
    processes = []
    try:
        yield started
        processes = tree(started.process.pid)
    finally:
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            processes = processes or tree(started.process.pid)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        started.process.wait()


async def answers(url: str, path: str = "/livez") -> httpx.Response | None:
    """Over a connection of its own, so that any process may take it."""
    with suppress(httpx.TransportError):
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:
            return await client.get(path)
    return None


@pytest.fixture
async def two_apis(settings_with: NewSettings) -> AsyncIterator[tuple[Running, str]]:
    port = free_port()
    settings = settings_with(host="127.0.0.1", port=port)
    async with running(settings, "serve", "--processes", "2") as started:
        url = f"http://127.0.0.1:{port}"

        async def is_up() -> bool:
            assert started.process.poll() is None, started.ended()
            return len(started.workers()) == 2 and await answers(url) is not None

        await until(is_up)
        yield started, url


def bearer(settings: Settings) -> dict[str, str]:
    assert settings.admin_token is not None
    return {"Authorization": f"Bearer {settings.admin_token.get_secret_value()}"}


async def new_link(client: httpx.AsyncClient) -> str:
    """Its path."""
    answer = await client.post("/v1/links", json={"expires_in": 3600})
    return f"/u/{answer.raise_for_status().json()['token']}"


async def requests_counted(url: str) -> float:
    page = await answers(url, "/metrics")
    assert page is not None
    return Scrape(page.text).of("imagesvc_http_requests_total", route="/v1/stats")


async def test_every_process_shows_the_requests_of_all(two_apis: tuple[Running, str]) -> None:
    _, url = two_apis

    await asyncio.gather(*(answers(url, "/v1/stats") for _ in range(40)))

    assert {await requests_counted(url) for _ in range(10)} == {40.0}


async def test_a_killed_process_is_replaced_and_its_counts_stay(two_apis: tuple[Running, str]) -> None:
    started, url = two_apis
    await asyncio.gather(*(answers(url, "/v1/stats") for _ in range(10)))
    killed, other = started.workers()
    killed.kill()

    async def is_replaced() -> bool:
        pids = {process.pid for process in started.workers()}
        return len(pids) == 2 and killed.pid not in pids and other.pid in pids

    await until(is_replaced)
    assert all([await answers(url) for _ in range(10)])
    assert await requests_counted(url) == 10

    async def counts_two() -> bool:
        page = await answers(url, "/metrics")
        return page is not None and "imagesvc_uploads_under_way 0.0" in page.text

    await until(counts_two)


async def test_a_signal_lets_requests_finish_and_ends_every_process(
    two_apis: tuple[Running, str], settings: Settings
) -> None:
    started, url = two_apis
    workers = started.workers()

    async def slow_body() -> AsyncIterator[bytes]:
        data = jpeg(seed=3)
        yield data[:100]
        started.process.send_signal(signal.SIGTERM)
        await until(lambda: _refuses(url))
        yield data[100:]

    async with httpx.AsyncClient(base_url=url, timeout=30, headers=bearer(settings)) as client:
        length = {"content-length": str(len(jpeg(seed=3)))}
        answer = await client.put(f"{await new_link(client)}/late.jpg", content=slow_body(), headers=length)

    assert answer.status_code == 201, answer.text
    assert started.ended()[0] == 0
    assert not any(worker.is_running() for worker in workers)


async def _refuses(url: str) -> bool:
    return await answers(url) is None


async def test_a_killed_parent_takes_its_processes_along(two_apis: tuple[Running, str]) -> None:
    started, url = two_apis
    workers = started.workers()
    started.process.kill()

    async def all_ended() -> bool:
        return not any(worker.is_running() and worker.status() != "zombie" for worker in workers)

    await until(all_ended)
    assert await answers(url) is None


async def test_a_process_that_cannot_start_ends_the_command(settings_with: NewSettings, tmp_path: Path) -> None:
    broken = tmp_path / "authority.pem"
    broken.write_text("no certificate")
    settings = settings_with(host="127.0.0.1", port=free_port(), s3_ca_file=broken)

    async with running(settings, "serve", "--processes", "2") as started:
        code, errors = await asyncio.to_thread(started.ended)

    assert code == 1
    assert "ended with exit code" in errors


async def test_two_workers_share_the_work_and_one_metrics_port(
    two_apis: tuple[Running, str], settings_with: NewSettings, settings: Settings
) -> None:
    _, url = two_apis
    port = free_port()
    settings_of_workers = settings_with(worker_metrics_port=port, worker_concurrency=1)
    async with (
        running(settings_of_workers, "worker", "--processes", "2") as started,
        httpx.AsyncClient(base_url=url, timeout=30, headers=bearer(settings)) as client,
    ):
        link = await new_link(client)
        for number in range(6):
            (await client.put(f"{link}/{number}.jpg", content=jpeg(seed=number))).raise_for_status()

        async def all_counted() -> bool:
            page = await answers(f"http://127.0.0.1:{port}")
            return (
                page is not None
                and Scrape(page.text).of("imagesvc_task_runs_total", kind="process_image", result="done") == 6
            )

        await until(all_counted)
        assert len(started.workers()) == 2
        started.process.terminate()
        assert (await asyncio.to_thread(started.ended))[0] == 0
