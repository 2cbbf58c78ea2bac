"""A decoder under attack has no access to processes, files, networks or secrets."""

import os
import socket
from pathlib import Path

import pytest

from imagesvc.processing.contract import Processed
from imagesvc.processing.sandbox.sandbox import Sandbox
from tests.processing import hostile
from tests.processing.sandboxes import HOOKS, LIMITS, THUMB, attack, descendants, until, zygote_of
from tests.support import images

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_no_process_can_be_started(sandbox: Sandbox) -> None:
    assert "Error" in (await attack(sandbox, hostile.fork)).detail
    assert "Error" in (await attack(sandbox, hostile.execute)).detail
    await until(lambda: descendants(zygote_of(sandbox)) == set())


async def test_no_file_can_be_written_or_read_elsewhere(sandbox: Sandbox, tmp_path: Path) -> None:
    target, secret = tmp_path / "escaped", tmp_path / "secret"
    tmp_path.chmod(0o777)
    secret.write_text("a secret of the worker")
    for place in (str(target), f"/tmp/{os.urandom(8).hex()}"):
        assert "PermissionError" in (await attack(sandbox, hostile.write_elsewhere, place)).detail
        assert not Path(place).exists()
    assert "a secret" not in (await attack(sandbox, hostile.read_elsewhere, str(secret))).detail


async def test_no_connection_can_be_made(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.setblocking(False)
        assert "Error" in (await attack(sandbox, hostile.connect, str(canary.getsockname()[1]))).detail
        with pytest.raises(BlockingIOError):
            canary.accept()


async def test_the_zygote_cannot_be_killed_from_inside(sandbox: Sandbox) -> None:
    before = zygote_of(sandbox)
    assert (await attack(sandbox, hostile.kill_zygote)).reason == "processing-error"
    assert zygote_of(sandbox) == before


async def test_neither_environment_nor_descriptors_are_inherited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGESVC_ADMIN_TOKEN", "a-secret-of-the-worker")
    inheritable = os.open("/dev/zero", os.O_RDONLY)
    os.set_inheritable(inheritable, True)
    async with Sandbox(LIMITS, parent=tmp_path, hooks=HOOKS) as sandbox:
        reported = (await attack(sandbox, hostile.tell_environment)).detail
        assert "environment: ['GLIBC_TUNABLES', 'LC_CTYPE', 'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS']" in reported
        # silence, the original, the reply, the one file that may come out, and the original once more as it is mapped
        reported = (await attack(sandbox, hostile.tell_descriptors)).detail
        assert "descriptors: [0, 1, 2, 3, 4, 5, 6]" in reported
    os.close(inheritable)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user")
async def test_as_root_a_child_is_another_user_in_no_group(sandbox: Sandbox) -> None:
    reported = (await attack(sandbox, hostile.tell_user)).detail
    assert sandbox.confinement["other_user"]
    assert "user: (0" not in reported
    assert reported.strip().endswith("[]")


async def test_the_measures_that_the_kernel_allows_are_reported(sandbox: Sandbox) -> None:
    assert set(sandbox.confinement) == {"other_user", "no_network", "file_system", "system_calls"}


async def test_a_link_in_the_folder_is_not_followed(sandbox: Sandbox, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("untouched")
    async with sandbox.scratch() as folder:
        (folder / "original").write_bytes(images.jpeg())
        (folder / "thumb.webp").symlink_to(canary)
        (folder / "reply.json").symlink_to(canary)
        outcome = await sandbox.run(THUMB, folder)
        assert isinstance(outcome, Processed)
        assert not outcome.renditions[0].path.is_symlink()
        (folder / "original").unlink()
        (folder / "original").symlink_to(canary)
        with pytest.raises(OSError, match="symbolic"):
            await sandbox.run(THUMB, folder)
    assert canary.read_text() == "untouched"
