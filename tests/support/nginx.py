"""Runs a real nginx on loopback with the shipped configuration."""

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SHIPPED = Path(__file__).parents[2] / "deploy" / "nginx" / "nginx.conf"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
STARTED_WITHIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NginxProxy:
    """A running nginx: its public URL, its operator URL, and its logs."""

    url: str
    operators_url: str
    access_log: Path
    error_log: Path

    def logs(self) -> str:
        """The text of both logs."""
        return self.access_log.read_text() + self.error_log.read_text()


@contextlib.asynccontextmanager
async def running_nginx(folder: Path, *, api: str, first_line: str = "") -> AsyncIterator[NginxProxy]:
    """nginx in front of ``api`` (``host:port``). Only addresses and paths differ from the shipped configuration.

    ``first_line`` is added to the public server.
    """
    assert NGINX is not None
    public, operators = free_ports(2)
    access, error = folder / "access.log", folder / "error.log"
    changes = {
        "listen 8080;": f"listen 127.0.0.1:{public};",
        "listen 8081;": f"listen 127.0.0.1:{operators};",
        "$api api:8000;": f"$api {api};",
        "access_log /dev/stdout": f"access_log {access}",
        "error_log /dev/stderr": f"error_log {error}",
        "/tmp/nginx": f"{folder}/nginx",
    }
    if not Path("/etc/nginx/mime.types").exists():
        changes["include /etc/nginx/mime.types;"] = ""
    text = SHIPPED.read_text()
    for shipped, replacement in changes.items():
        assert shipped in text, f"the configuration does not contain {shipped}"
        text = text.replace(shipped, replacement)
    text = text.replace("server_name _;", f"server_name _; {first_line}", 1)
    config = folder / "nginx.conf"
    config.write_text(text)
    # under root, the nginx workers switch to another user, which cannot enter the folder of the test
    directives = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    process = await asyncio.create_subprocess_exec(NGINX, "-e", str(error), "-c", str(config), "-g", directives)
    try:
        async with asyncio.timeout(STARTED_WITHIN_SECONDS):
            while not await _answers(public):
                assert process.returncode is None, error.read_text()
                await asyncio.sleep(0.02)
        yield NginxProxy(
            url=f"http://127.0.0.1:{public}",
            operators_url=f"http://127.0.0.1:{operators}",
            access_log=access,
            error_log=error,
        )
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def free_ports(count: int) -> list[int]:
    """Distinct free TCP ports on loopback."""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
