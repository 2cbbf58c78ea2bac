"""The data folder: whose it is, one user at a time, secrets that stay."""

from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE

import pytest

from imagesvc.embedded import DataFolder, EmbeddedError, FolderInUse


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataFolder]:
    with DataFolder(tmp_path / "data") as opened:
        yield opened


def test_a_folder_with_something_else_in_it_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    tmp_path.chmod(0o755)

    with pytest.raises(EmbeddedError, match="not empty and not a data folder"):
        DataFolder(tmp_path)

    assert S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_only_one_at_a_time_uses_a_folder(data: DataFolder) -> None:
    with pytest.raises(FolderInUse, match="already running"):
        DataFolder(data.path)


def test_a_folder_can_be_used_again_once_it_is_closed(tmp_path: Path) -> None:
    DataFolder(tmp_path / "data").close()

    DataFolder(tmp_path / "data").close()


def test_a_secret_is_made_once_and_then_kept_for_its_owner_alone(data: DataFolder) -> None:
    made = iter(["first", "second"])

    assert [data.keep("token", lambda: next(made)) for _ in range(2)] == ["first", "first"]
    assert S_IMODE((data.secrets / "token").stat().st_mode) == 0o600


def test_a_folder_that_was_swapped_for_a_link_is_refused(data: DataFolder, tmp_path: Path) -> None:
    (data.path / "weed").symlink_to(tmp_path)

    with pytest.raises(EmbeddedError, match="is not the folder that imagesvc made"):
        data.own_folder(data.path / "weed")


def test_sockets_of_a_deep_folder_are_put_in_a_short_one_which_goes_when_it_is_closed(tmp_path: Path) -> None:
    with DataFolder(tmp_path / ("deep" * 20) / ("deeper" * 10)) as data:
        sockets = data.socket_folder("valkey", owner=None)

        assert len(str(sockets / ".s.PGSQL.5432")) <= 107
        assert S_IMODE(sockets.stat().st_mode) == 0o700

    assert not sockets.exists()


def test_a_short_folder_that_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 20) / ("deeper" * 10)
    with DataFolder(deep) as data:
        left = data.socket_folder("valkey", owner=None)

        assert data.socket_folder("valkey", owner=None) != left
        assert not left.exists()
