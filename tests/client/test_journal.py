"""What is noted for the next run, and what is not."""

import contextlib
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from imagesvc.client import Problem, Sent
from imagesvc.client.file_reader import look_at
from imagesvc.client.journal import Journal, journal_for

HASH = "ab" * 32


def closed(path: Path) -> None:
    """A run that was interrupted after it had noted something of everything."""
    journal = Journal(path)
    journal.note_begun("1" * 64, "01995f4e")
    journal.note_sent("2" * 64, Sent(status="created", upload_id="u", url="/u/a-secret/uploads/u"))
    journal.note_refused("3" * 64, Problem(type="/problems/unsupported-media-type", title="no", status=415))
    journal.close(is_done=False)


def test_the_next_run_knows_what_became_of_what(tmp_path: Path) -> None:
    closed(tmp_path / "journal")

    journal = Journal(tmp_path / "journal")

    begun, sent, refused = (journal.known(digit * 64) for digit in "123")
    assert begun is not None
    assert begun.resumable_id == "01995f4e"
    assert sent is not None
    assert sent.sent == Sent(status="created", upload_id="u")
    assert refused is not None
    assert refused.problem is not None
    assert refused.problem.status == 415
    assert [known.is_of_this_run for known in (begun, sent, refused)] == [False] * 3
    journal.close(is_done=True)
    assert os.listdir(tmp_path) == []


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"old")
    journal = Journal(tmp_path / "journal")
    seen = look_at(path)
    journal.note_hash(seen, HASH)

    assert journal.hash_of(look_at(path)) == HASH
    os.utime(path, ns=(seen.modified_ns, seen.modified_ns + 1))
    assert journal.hash_of(look_at(path)) is None
    path.write_bytes(b"older")
    os.utime(path, ns=(seen.modified_ns, seen.modified_ns))
    assert journal.hash_of(look_at(path)) is None
    journal.close(is_done=True)


def test_it_holds_no_secret_and_is_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with contextlib.suppress(KeyboardInterrupt), journal_for("http://example.org a-secret", is_kept=True) as journal:
        journal.note_sent("2" * 64, Sent(status="created", url="/u/a-secret/uploads/u"))
        raise KeyboardInterrupt

    (path,) = (tmp_path / "imagesvc" / "uploads").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert b"a-secret" not in path.read_bytes() + path.name.encode()


def test_a_second_run_at_the_same_time_does_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    with journal_for("x", is_kept=True) as first, journal_for("x", is_kept=True) as second:
        assert first.path is not None
        assert second.path is None
        with pytest.raises(sqlite3.OperationalError):
            Journal(first.path)


@pytest.mark.parametrize("found", [b"not a database at all, but long enough to be taken for one" * 20, b""])
def test_what_is_no_journal_is_replaced(tmp_path: Path, found: bytes) -> None:
    (tmp_path / "journal").write_bytes(found)

    closed(tmp_path / "journal")

    assert Journal(tmp_path / "journal").known("2" * 64) is not None


def test_where_none_can_be_written_the_run_does_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))

    with journal_for("x", is_kept=True) as journal:
        assert journal.path is None
        journal.note_sent("2" * 64, Sent(status="created"))
        assert journal.known("2" * 64) is not None
