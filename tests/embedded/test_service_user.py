"""Root runs PostgreSQL as another account, which must be able to enter the data folder and the installed programs."""

import os
import subprocess
import sys
from pathlib import Path
from stat import S_IMODE

import pytest

from imagesvc.embedded import DataFolder, EmbeddedError, EmbeddedServers, ServiceUser
from imagesvc.embedded.service_user import closed_folder, open_program, require_access

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another account")

USER = ServiceUser(uid=64_001, gid=64_001)


@pytest.fixture
def closed(shared_tmp_path: Path) -> Path:
    """A folder that only root can enter, below one that every account can enter."""
    folder = shared_tmp_path / "closed"
    folder.mkdir(mode=0o700)
    return folder


def test_the_topmost_folder_that_the_account_cannot_enter_is_named(closed: Path) -> None:
    inner = closed / "project" / "data"
    inner.mkdir(parents=True)
    (closed / "project").chmod(0o700)

    assert closed_folder(inner, USER) == closed
    with pytest.raises(EmbeddedError, match=rf"\(uid 64001\) cannot enter {closed}: move the project"):
        require_access(inner, USER, remedy="move the project")


def test_a_folder_below_open_folders_is_reachable(shared_tmp_path: Path) -> None:
    assert closed_folder(shared_tmp_path / "data", USER) is None


def test_a_symbolic_link_is_followed_to_the_closed_folder(closed: Path, shared_tmp_path: Path) -> None:
    (closed / "data").mkdir()
    link = shared_tmp_path / "link"
    link.symlink_to(closed / "data")

    assert closed_folder(link / "postgres", USER) == closed


async def test_prepare_fails_for_an_unreachable_data_folder_and_changes_no_permissions(closed: Path) -> None:
    with DataFolder(closed / "data") as data:
        servers = EmbeddedServers(data, wanted=frozenset({"postgres"}), throwaway=True)

        with pytest.raises(
            EmbeddedError, match=rf"cannot enter {closed}: .*--data-dir .*, or run imagesvc as a normal"
        ):
            await servers.prepare()

    assert S_IMODE(closed.stat().st_mode) == 0o700
    assert os.listxattr(closed) == []
    assert not (closed / "data" / "postgres" / "data").exists()


async def test_prepare_creates_a_cluster_in_a_reachable_data_folder(shared_tmp_path: Path) -> None:
    with DataFolder(shared_tmp_path / "data") as data:
        servers = EmbeddedServers(data, wanted=frozenset({"postgres"}), throwaway=True)

        await servers.prepare()

        assert (data.path / "postgres" / "data" / "PG_VERSION").stat().st_uid != 0


def test_up_ends_with_the_error_and_exit_code_1(closed: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "imagesvc", "up", "--data-dir", str(closed / "data"), "--port", "0"],
        env={name: value for name, value in os.environ.items() if not name.startswith("IMAGESVC_")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1
    assert f"cannot enter {closed}" in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


def test_a_program_that_only_root_can_read_is_opened_to_all_accounts(tmp_path: Path) -> None:
    program, text = tmp_path / "bin" / "server", tmp_path / "share" / "words"
    for path, mode in ((program, 0o700), (text, 0o600)):
        path.parent.mkdir()
        path.touch()
        path.chmod(mode)

    open_program(tmp_path)

    assert [S_IMODE(path.stat().st_mode) for path in (program, text)] == [0o755, 0o644]
