"""How the account that PostgreSQL runs as gets through folders that are closed, and nobody else with it."""

import os
from pathlib import Path
from stat import S_IMODE

import pytest

from imagesvc.embedded import ServiceUser, reach

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another account")

SERVICE, STRANGER = ServiceUser(uid=64_001, gid=64_001), ServiceUser(uid=64_002, gid=64_002)


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder in a folder that is closed to others."""
    tmp_path.chmod(0o700)
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    return inner


def test_one_account_is_let_through_and_no_other(closed: Path) -> None:
    assert not reach.can_reach(closed, SERVICE)

    changed = reach.let_through(closed, SERVICE)

    assert closed.parents[1] in changed
    assert reach.can_reach(closed, SERVICE)
    assert not reach.can_reach(closed, STRANGER)


def test_rights_that_were_given_before_stay(closed: Path) -> None:
    reach.let_through(closed, STRANGER)

    reach.let_through(closed, SERVICE)

    assert reach.can_reach(closed, STRANGER)
    assert reach.can_reach(closed, SERVICE)


def test_what_is_open_already_is_left_as_it_is(tmp_path: Path) -> None:
    reach.let_through(tmp_path, SERVICE)
    before = os.stat(tmp_path.parent)

    assert reach.let_through(tmp_path, SERVICE) == []
    assert os.stat(tmp_path.parent).st_ctime_ns == before.st_ctime_ns


def test_a_program_installed_for_one_account_is_opened_to_all(tmp_path: Path) -> None:
    program, text = tmp_path / "bin" / "server", tmp_path / "share" / "words"
    for path, mode in ((program, 0o700), (text, 0o600)):
        path.parent.mkdir()
        path.touch()
        path.chmod(mode)

    reach.open_program(tmp_path)

    assert [S_IMODE(path.stat().st_mode) for path in (program, text)] == [0o755, 0o644]
