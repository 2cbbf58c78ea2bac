"""Holds a running service against its OpenAPI document: ``python -m tests.contract [EXAMPLES]`` (``make contract``).

Starts a service of its own with `imagesvc up` on a free port, runs schemathesis with all checks, and exits with its
code. The exceptions and their reasons are in ``schemathesis.toml`` and ``hooks.py``.
"""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tests.support.nginx import free_ports

FOLDER = Path(__file__).parent
START_SECONDS = 120


def main() -> int:
    examples = sys.argv[1] if len(sys.argv) > 1 else "1000"
    token, (port,) = secrets.token_urlsafe(32), free_ports(1)
    url = f"http://127.0.0.1:{port}"
    binaries = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # under root, PostgreSQL runs as another user
        environment = os.environ | {"IMAGESVC_ADMIN_TOKEN": token}
        command = [str(binaries / "imagesvc"), "up", "--data-dir", f"{folder}/data", "--port", str(port)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as service:
            try:
                _wait_until_ready(url, service)
                return subprocess.run(
                    [
                        binaries / "schemathesis",
                        *("--config-file", FOLDER / "schemathesis.toml", "run", f"{url}/openapi.json"),
                        *("--header", f"Authorization: Bearer {token}", "--max-examples", examples),
                        *("--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--warnings", "off"),
                    ],
                    env=os.environ | {"SCHEMATHESIS_HOOKS": str(FOLDER / "hooks.py")},
                    check=False,
                ).returncode
            finally:
                service.send_signal(signal.SIGINT)


def _wait_until_ready(url: str, service: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if httpx.get(f"{url}/readyz").is_success:
                return
        except httpx.TransportError:
            pass
        if service.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("the service did not start")
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
