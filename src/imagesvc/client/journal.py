"""What an interrupted run need not do again: hashes of files that have not changed, refusals, unfinished uploads.

One SQLite file a destination, of which only a hash is told by its name, readable by its owner alone. It holds no
secret and no picture. Whether the service still has what it took is asked anew each time. A run that came to its end
removes it; one that finds it in use, or cannot write it, does without.
"""

import contextlib
import dataclasses
import json
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Self

from imagesvc.client.file_reader import Found
from imagesvc.client.models import Problem, Sent

COMMIT_SECONDS = 0.5
VERSION = 1
SCHEMA = (
    "CREATE TABLE files (path BLOB PRIMARY KEY, size INTEGER, modified_ns INTEGER, sha256 TEXT) WITHOUT ROWID",
    "CREATE TABLE contents (sha256 TEXT PRIMARY KEY, run INTEGER, sent TEXT, problem TEXT, resumable_id TEXT)"
    " WITHOUT ROWID",
    f"PRAGMA user_version = {VERSION}",
)


def default_folder() -> Path:
    """By the XDG base directory specification."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state") / "imagesvc" / "uploads"


def name_of(destination: str) -> str:
    """``destination`` may hold a secret: a hash of it does not tell it."""
    return f"{sha256(destination.encode()).hexdigest()[:32]}.journal"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What became of some content. ``is_of_this_run`` or of one that was interrupted."""

    is_of_this_run: bool
    sent: Sent | None = None
    problem: Problem | None = None
    resumable_id: str | None = None


class Journal:
    """Without a path it is for this run alone: on disk where it grows, and gone at its end."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._database = _opened(path)
        (last,) = self._database.execute("SELECT coalesce(max(run), 0) FROM contents").fetchone()
        self._run = int(last) + 1
        self._begun: float | None = None

    @classmethod
    def of(cls, destination: str, folder: Path | None = None) -> Self:
        """Raises OSError and sqlite3.Error when it is in use or cannot be written."""
        folder = folder or default_folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return cls(folder / name_of(destination))

    def hash_of(self, found: Found) -> str | None:
        """That of a file which has not changed since it was read."""
        row = self._database.execute(
            "SELECT sha256 FROM files WHERE path = ? AND size = ? AND modified_ns = ?",
            (_key(found.path), found.size, found.modified_ns),
        ).fetchone()
        return row[0] if row else None

    def note_hash(self, found: Found, sha256: str) -> None:
        if self.path is None:
            return
        values = (_key(found.path), found.size, found.modified_ns, sha256)
        self._write("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", values)

    def known(self, sha256: str) -> Known | None:
        row = self._database.execute(
            "SELECT run, sent, problem, resumable_id FROM contents WHERE sha256 = ?", (sha256,)
        ).fetchone()
        if row is None:
            return None
        run, sent, problem, resumable_id = row
        return Known(
            is_of_this_run=run == self._run,
            sent=Sent(**json.loads(sent)) if sent else None,
            problem=Problem(**json.loads(problem)) if problem else None,
            resumable_id=resumable_id,
        )

    def note_begun(self, sha256: str, resumable_id: str) -> None:
        self._note(sha256, resumable_id=resumable_id)
        self._commit()

    def note_sent(self, sha256: str, sent: Sent) -> None:
        # the address may hold a link's token
        self._note(sha256, sent=json.dumps(dataclasses.asdict(dataclasses.replace(sent, url=None))))

    def note_refused(self, sha256: str, problem: Problem) -> None:
        self._note(sha256, problem=json.dumps(problem.document()))

    def _note(
        self, sha256: str, *, sent: str | None = None, problem: str | None = None, resumable_id: str | None = None
    ) -> None:
        values = (sha256, self._run, sent, problem, resumable_id)
        self._write("INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?, ?)", values)

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        """Committed within a second or so: a transaction for each file would cost as much as reading it."""
        if self._begun is None:
            self._database.execute("BEGIN")
            self._begun = time.monotonic()
        self._database.execute(statement, values)
        if time.monotonic() - self._begun > COMMIT_SECONDS:
            self._commit()

    def _commit(self) -> None:
        if self._begun is not None:
            self._database.execute("COMMIT")
            self._begun = None

    def close(self, *, is_done: bool) -> None:
        """``is_done``: there is nothing to go on with."""
        self._commit()
        self._database.close()
        if self.path is not None and is_done:
            self.path.unlink(missing_ok=True)


@contextlib.contextmanager
def journal_for(destination: str, *, is_kept: bool) -> Iterator[Journal]:
    """One for the run; kept when the block raises. Falls back to one for this run alone."""
    try:
        journal = Journal.of(destination) if is_kept else Journal()
    except (OSError, sqlite3.Error, RuntimeError):  # RuntimeError: there is no home
        journal = Journal()
    is_done = False
    try:
        yield journal
        is_done = True
    finally:
        journal.close(is_done=is_done)


def _opened(path: Path | None) -> sqlite3.Connection:
    if path is None:
        return _prepared(sqlite3.connect("", isolation_level=None))
    # made before SQLite would make it for all to read
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, stat.S_IRUSR | stat.S_IWUSR))
    try:
        return _prepared(sqlite3.connect(path, isolation_level=None, timeout=0))
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:  # it is no journal, or not any more
        path.unlink()
        return _prepared(sqlite3.connect(path, isolation_level=None, timeout=0))


def _prepared(database: sqlite3.Connection) -> sqlite3.Connection:
    """Locked for this run. A killed process loses nothing; a machine that stops, the last lines at most."""
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("BEGIN EXCLUSIVE")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                database.execute(f"DROP TABLE {table}")
            for statement in SCHEMA:
                database.execute(statement)
        database.execute("COMMIT")
    except sqlite3.Error:
        database.close()
        raise
    return database


def _key(path: Path) -> bytes:
    """Names need not be valid in any encoding."""
    return os.fsencode(os.path.abspath(path))
