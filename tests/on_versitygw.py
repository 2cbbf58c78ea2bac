"""Runs the tests that use object storage on a second S3 server: ``python -m tests.on_versitygw [options of pytest]``.

versitygw (``go install github.com/versity/versitygw/cmd/versitygw@VERSION``) keeps objects as files of a folder, and
differs from the S3 server of the other runs in much that S3 leaves open. The other tests say nothing about S3.
"""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.support.folders import open_folder
from tests.support.processes import free_port

TESTS = (
    *("tests/storage", "tests/uploads", "tests/faults", "tests/operations/test_audit.py"),
    *("tests/images/test_originals.py", "tests/images/test_deletion.py", "tests/images/test_recovery.py"),
    *("tests/images/test_renditions.py", "tests/resizes", "tests/jobs/test_jobs.py", "tests/test_crashes.py"),
)
START_SECONDS = 20.0


def main(options: list[str]) -> int:
    """Returns the exit code of pytest."""
    program = shutil.which("versitygw") or str(Path.home() / "go/bin/versitygw")
    access_key, secret_key, port = secrets.token_hex(8), secrets.token_hex(20), free_port()
    with open_folder() as folder:
        for name in ("objects", "metadata"):
            (folder / name).mkdir()
        # metadata in files of its own: not every file system has extended attributes
        backend = ["posix", "--sidecar", str(folder / "metadata"), str(folder / "objects")]
        environment = {**os.environ, "ROOT_ACCESS_KEY": access_key, "ROOT_SECRET_KEY": secret_key}
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [program, "--quiet", "--port", f"127.0.0.1:{port}", *backend], env=environment, stdout=log, stderr=log
            )
        try:
            _wait_for(port, server, folder / "log")
            s3 = {"ENDPOINT": f"http://127.0.0.1:{port}", "ACCESS_KEY": access_key, "SECRET_KEY": secret_key}
            return subprocess.run(
                [sys.executable, "-m", "pytest", *(options or ["-q", "-n", "4", "--dist", "worksteal"]), *TESTS],
                env={**os.environ, **{f"IMAGESVC_TEST_S3_{name}": value for name, value in s3.items()}},
                check=False,
            ).returncode
        finally:
            server.kill()
            server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise SystemExit(f"versitygw did not start:\n{log.read_text()}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
