"""The data folder: its owner, its lock, and secrets that persist."""

from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE

import pytest

from imagesvc.embedded import DataFolder, EmbeddedError, FolderInUse


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataFolder]:
    with DataFolder(tmp_path / "data") as opened:
        yield opened


def test_a_folder_with_other_contents_is_refused_and_not_changed(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    tmp_path.chmod(0o755)

    with pytest.raises(EmbeddedError, match="not empty and not a data folder"):
        DataFolder(tmp_path)

    assert S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_locked_folder_cannot_be_opened_again(data: DataFolder) -> None:
    with pytest.raises(FolderInUse, match="already running"):
        DataFolder(data.path)


def test_a_closed_folder_can_be_opened_again(tmp_path: Path) -> None:
    DataFolder(tmp_path / "data").close()

    DataFolder(tmp_path / "data").close()


def test_a_secret_is_created_once_and_only_its_owner_can_read_it(data: DataFolder) -> None:
    values = iter(["first", "second"])

    assert [data.get_or_create_secret("token", lambda: next(values)) for _ in range(2)] == ["first", "first"]
    assert S_IMODE((data.secrets / "token").stat().st_mode) == 0o600


def test_a_folder_that_was_replaced_by_a_symbolic_link_is_refused(data: DataFolder, tmp_path: Path) -> None:
    (data.path / "weed").symlink_to(tmp_path)

    with pytest.raises(EmbeddedError, match="is not the folder that imagesvc created"):
        data.private_folder(data.path / "weed")


def test_sockets_of_a_long_path_get_a_short_folder_that_close_deletes(tmp_path: Path) -> None:
    with DataFolder(tmp_path / ("deep" * 20) / ("deeper" * 10)) as data:
        sockets = data.socket_folder("valkey", owner=None)

        assert len(str(sockets / ".s.PGSQL.5432")) <= 107
        assert S_IMODE(sockets.stat().st_mode) == 0o700

    assert not sockets.exists()


def test_the_next_run_deletes_a_socket_folder_that_a_killed_run_left(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 20) / ("deeper" * 10)
    with DataFolder(deep) as data:
        stale = data.socket_folder("valkey", owner=None)

        assert data.socket_folder("valkey", owner=None) != stale
        assert not stale.exists()
