"""APIs and workers as separate processes that a test can kill."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
from pydantic import SecretStr

from imagesvc.settings import Settings

DEADLINE_SECONDS = 60.0


async def until(check: Callable[[], Awaitable[bool]], *, seconds: float = DEADLINE_SECONDS) -> None:
    """Wait until ``check`` returns true. Raises TimeoutError after ``seconds``."""
    async with asyncio.timeout(seconds):
        while not await check():
            await asyncio.sleep(0.02)


def environment(settings: Settings) -> dict[str, str]:
    """The environment variables that give another process these settings."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    return dict(os.environ) | {f"IMAGESVC_{name.upper()}": _text_of(value) for name, value in given.items()}


def _text_of(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


class Process:
    """One `imagesvc` command, started as an operator starts it."""

    def __init__(self, settings: Settings, *command: str) -> None:
        self._environment = environment(settings)
        self._command = command
        self._running: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process."""
        self._running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "imagesvc", *self._command, env=self._environment, start_new_session=True
        )

    async def end(self, signal_number: int = signal.SIGKILL) -> int:
        """Send the signal and wait for the exit; a sandbox zygote notices and exits too. Returns the exit code."""
        assert self._running is not None
        with contextlib.suppress(ProcessLookupError):
            self._running.send_signal(signal_number)
        return await self._running.wait()

    @property
    def has_ended(self) -> bool:
        return self._running is None or self._running.returncode is not None


@contextlib.asynccontextmanager
async def process(settings: Settings, *command: str) -> AsyncIterator[Process]:
    """Runs the command within the block and kills it afterwards."""
    part = Process(settings, *command)
    await part.start()
    try:
        yield part
    finally:
        if not part.has_ended:
            await part.end()


def free_port() -> int:
    """A free TCP port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def api_process(settings: Settings) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    """A separate API process, and a client with the admin token."""
    assert settings.admin_token is not None
    port = free_port()
    bearer = {"Authorization": f"Bearer {settings.admin_token.get_secret_value()}"}
    async with (
        process(settings, "serve", "--port", str(port)) as part,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=bearer, timeout=60) as owner,
    ):

        async def answers() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return (await owner.get("/livez")).status_code == 200
            return False

        await until(answers)
        yield part, owner
