"""What the journal records for the next run, and what it does not."""

import contextlib
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from imagesvc.client import Problem, Receipt
from imagesvc.client.file_reader import stat_file
from imagesvc.client.journal import Journal, journal_for

HASH = "ab" * 32


def record_an_interrupted_run(path: Path) -> None:
    """Record an unfinished, an accepted and a refused upload, and close the journal as incomplete."""
    journal = Journal(path)
    journal.record_created("1" * 64, "01995f4e")
    journal.record_accepted("2" * 64, Receipt(status="created", upload_id="u", url="/u/a-secret/uploads/u"))
    journal.record_refused("3" * 64, Problem(type="/problems/unsupported-media-type", title="no", status=415))
    journal.close(is_complete=False)


def test_the_next_run_reads_what_an_interrupted_run_recorded(tmp_path: Path) -> None:
    record_an_interrupted_run(tmp_path / "journal")

    journal = Journal(tmp_path / "journal")

    created, accepted, refused = (journal.content_record(digit * 64) for digit in "123")
    assert created is not None
    assert created.resumable_id == "01995f4e"
    assert accepted is not None
    assert accepted.receipt == Receipt(status="created", upload_id="u")
    assert refused is not None
    assert refused.problem is not None
    assert refused.problem.status == 415
    assert [record.is_from_this_run for record in (created, accepted, refused)] == [False] * 3
    journal.close(is_complete=True)
    assert os.listdir(tmp_path) == []


def test_the_hash_of_a_changed_file_is_not_reused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"old")
    journal = Journal(tmp_path / "journal")
    seen = stat_file(path)
    journal.record_hash(seen, HASH)

    assert journal.hash_of(stat_file(path)) == HASH
    os.utime(path, ns=(seen.modified_ns, seen.modified_ns + 1))
    assert journal.hash_of(stat_file(path)) is None
    path.write_bytes(b"older")
    os.utime(path, ns=(seen.modified_ns, seen.modified_ns))
    assert journal.hash_of(stat_file(path)) is None
    journal.close(is_complete=True)


def test_it_contains_no_secret_and_only_its_owner_can_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with contextlib.suppress(KeyboardInterrupt), journal_for("http://example.org a-secret", is_kept=True) as journal:
        journal.record_accepted("2" * 64, Receipt(status="created", url="/u/a-secret/uploads/u"))
        raise KeyboardInterrupt

    (path,) = (tmp_path / "imagesvc" / "uploads").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert b"a-secret" not in path.read_bytes() + path.name.encode()


def test_a_concurrent_run_works_without_a_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    with journal_for("x", is_kept=True) as first, journal_for("x", is_kept=True) as second:
        assert first.path is not None
        assert second.path is None
        with pytest.raises(sqlite3.OperationalError):
            Journal(first.path)


@pytest.mark.parametrize("found", [b"not a database at all, but long enough to be taken for one" * 20, b""])
def test_a_file_that_is_no_journal_is_replaced(tmp_path: Path, found: bytes) -> None:
    (tmp_path / "journal").write_bytes(found)

    record_an_interrupted_run(tmp_path / "journal")

    assert Journal(tmp_path / "journal").content_record("2" * 64) is not None


def test_a_run_works_without_a_journal_where_none_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))

    with journal_for("x", is_kept=True) as journal:
        assert journal.path is None
        journal.record_accepted("2" * 64, Receipt(status="created"))
        assert journal.content_record("2" * 64) is not None
