"""What an interrupted run need not repeat: hashes of unchanged files, refusals, unfinished uploads.

There is one SQLite file per destination, readable by its owner only; its name is a hash of the destination. It
contains no secret and no picture. Each run asks the service again what it still has. A completed run removes the
journal; a run that finds it in use or cannot write it works without one.
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

from imagesvc.client.file_reader import LocalFile
from imagesvc.client.models import Problem, Receipt

COMMIT_SECONDS = 0.5
VERSION = 1
SCHEMA = (
    "CREATE TABLE files (path BLOB PRIMARY KEY, size INTEGER, modified_ns INTEGER, sha256 TEXT) WITHOUT ROWID",
    "CREATE TABLE contents (sha256 TEXT PRIMARY KEY, run INTEGER, sent TEXT, problem TEXT, resumable_id TEXT)"
    " WITHOUT ROWID",
    f"PRAGMA user_version = {VERSION}",
)


def default_folder() -> Path:
    """As the XDG base directory specification defines it."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state") / "imagesvc" / "uploads"


def file_name(destination: str) -> str:
    """A hash, since ``destination`` may contain a secret."""
    return f"{sha256(destination.encode()).hexdigest()[:32]}.journal"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ContentRecord:
    """What happened to one content, in this run or in one that was interrupted."""

    is_from_this_run: bool
    receipt: Receipt | None = None
    problem: Problem | None = None
    resumable_id: str | None = None


class Journal:
    """Without a path it serves this run only: a temporary database that spills to disk as it grows."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._database = _open(path)
        (last,) = self._database.execute("SELECT coalesce(max(run), 0) FROM contents").fetchone()
        self._run = int(last) + 1
        self._transaction_started: float | None = None

    @classmethod
    def for_destination(cls, destination: str, folder: Path | None = None) -> Self:
        """Raises OSError and sqlite3.Error when it is in use or cannot be written."""
        folder = folder or default_folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return cls(folder / file_name(destination))

    def hash_of(self, file: LocalFile) -> str | None:
        """The hash of a file that has not changed since it was read."""
        row = self._database.execute(
            "SELECT sha256 FROM files WHERE path = ? AND size = ? AND modified_ns = ?",
            (_key(file.path), file.size, file.modified_ns),
        ).fetchone()
        return row[0] if row else None

    def record_hash(self, file: LocalFile, sha256: str) -> None:
        if self.path is None:
            return
        values = (_key(file.path), file.size, file.modified_ns, sha256)
        self._write("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", values)

    def content_record(self, sha256: str) -> ContentRecord | None:
        row = self._database.execute(
            "SELECT run, sent, problem, resumable_id FROM contents WHERE sha256 = ?", (sha256,)
        ).fetchone()
        if row is None:
            return None
        run, receipt, problem, resumable_id = row
        return ContentRecord(
            is_from_this_run=run == self._run,
            receipt=Receipt(**json.loads(receipt)) if receipt else None,
            problem=Problem(**json.loads(problem)) if problem else None,
            resumable_id=resumable_id,
        )

    def record_created(self, sha256: str, resumable_id: str) -> None:
        """The service has created a resumable upload for this content."""
        self._record(sha256, resumable_id=resumable_id)
        self._commit()

    def record_accepted(self, sha256: str, receipt: Receipt) -> None:
        # the address may contain a link's token
        receipt = dataclasses.replace(receipt, url=None)
        self._record(sha256, receipt=json.dumps(dataclasses.asdict(receipt)))

    def record_refused(self, sha256: str, problem: Problem) -> None:
        self._record(sha256, problem=json.dumps(problem.to_document()))

    def _record(
        self, sha256: str, *, receipt: str | None = None, problem: str | None = None, resumable_id: str | None = None
    ) -> None:
        values = (sha256, self._run, receipt, problem, resumable_id)
        self._write("INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?, ?)", values)

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        """Commits every half second: a transaction for each file would cost as much as reading it."""
        if self._transaction_started is None:
            self._database.execute("BEGIN")
            self._transaction_started = time.monotonic()
        self._database.execute(statement, values)
        if time.monotonic() - self._transaction_started > COMMIT_SECONDS:
            self._commit()

    def _commit(self) -> None:
        if self._transaction_started is not None:
            self._database.execute("COMMIT")
            self._transaction_started = None

    def close(self, *, is_complete: bool) -> None:
        """``is_complete``: nothing is left to resume, so the file is removed."""
        self._commit()
        self._database.close()
        if self.path is not None and is_complete:
            self.path.unlink(missing_ok=True)


@contextlib.contextmanager
def journal_for(destination: str, *, is_kept: bool) -> Iterator[Journal]:
    """The journal of a run; it is kept when the block raises. Without a usable file it serves this run only."""
    try:
        journal = Journal.for_destination(destination) if is_kept else Journal()
    except (OSError, sqlite3.Error, RuntimeError):  # RuntimeError: there is no home directory
        journal = Journal()
    is_complete = False
    try:
        yield journal
        is_complete = True
    finally:
        journal.close(is_complete=is_complete)


def _open(path: Path | None) -> sqlite3.Connection:
    if path is None:
        return _prepare(sqlite3.connect("", isolation_level=None))
    # created here, because SQLite would create it readable for others
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, stat.S_IRUSR | stat.S_IWUSR))
    try:
        return _prepare(sqlite3.connect(path, isolation_level=None, timeout=0))
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:  # not a database, or a corrupt one
        path.unlink()
        return _prepare(sqlite3.connect(path, isolation_level=None, timeout=0))


def _prepare(database: sqlite3.Connection) -> sqlite3.Connection:
    """Lock it for this run. A killed process loses nothing; a crash of the machine loses the last transactions only."""
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
    """Bytes, since a file name need not be valid in any encoding."""
    return os.fsencode(os.path.abspath(path))
