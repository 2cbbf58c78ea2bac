"""Sending whole folders: each file is read once, asked about together with others, and sent if it is missing.

    reader -> batches (read, hashed) -> asker (what is there already?) -> pieces -> senders -> outcomes

Small files stay in memory from their hash until they are in, so that what was hashed is what is sent; a budget bounds
how many. Of large ones only the hash is kept: they are read again, from the disk, if they have to be sent.

Every file ends in one outcome. When the door closes (a link that is used up, a credential that is no good) the rest is
told so without another request. When the server stays away the run ends with ``ServerAway``.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from pathlib import Path

from imagesvc.client.client import LARGE_BYTES, Client
from imagesvc.client.errors import DoorClosed, FileUnusable, Refused
from imagesvc.client.file_reader import Contents, Found, read_hash, read_into_memory
from imagesvc.client.files import find
from imagesvc.client.journal import Journal
from imagesvc.client.memory_budget import Budget
from imagesvc.client.models import Context, Problem, Sent
from imagesvc.client.results import Listeners, Outcome, Status

MEMORY_BYTES, AGAIN_BYTES = 24 * 1024 * 1024, 16 * 1024 * 1024
"""Of files that are in memory at a time: read for the first time, and again."""
BATCH_FILES, BATCH_BYTES = 100, 1024 * 1024
"""What is asked about at a time: larger batches would keep the senders waiting for their first file."""
LOOK_AHEAD_FILES = 256
OF_THE_FILE = frozenset({"unsupported-media-type", "empty-file", "file-too-large"})
"""Refusals that say something about the content, whatever the run, the link or the moment."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A file that was read, with the part of the budget that it holds."""

    contents: Contents
    held_bytes: int


class Run:
    def __init__(
        self,
        client: Client,
        context: Context,
        journal: Journal,
        listeners: Listeners,
        *,
        concurrency: int,
        is_dry: bool = False,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._client, self._context, self._journal, self._listeners = client, context, journal, listeners
        self._concurrency, self._is_dry = concurrency, is_dry
        self._budget = Budget(memory_bytes)
        self._batch_bytes = min(BATCH_BYTES, memory_bytes)
        # of files whose hash the journal knew: what waits to be sent must not take it from those that are being sent
        self._budget_again = Budget(AGAIN_BYTES)
        self._batches: asyncio.Queue[list[Piece] | None] = asyncio.Queue(maxsize=1)
        self._pieces: asyncio.Queue[Piece | None] = asyncio.Queue(maxsize=1)
        self._under_way: dict[str, asyncio.Event] = {}
        self._closed: Problem | None = None
        self._is_stopping = False

    async def send(self, named: Sequence[Path]) -> None:
        """Everything that is named, files and folders. Raises ServerAway."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(named))
                group.create_task(self._ask())
                for _ in range(self._concurrency):
                    group.create_task(self._send())
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        finally:
            self._is_stopping = True

    # ---- reading

    async def _read(self, named: Sequence[Path]) -> None:
        group: list[Found] = []
        async for found in _ahead(named):
            if isinstance(found, tuple):
                self._tell_unreadable(*found)
            elif self._closed is not None:
                self._tell(Outcome(path=found.path, status="rejected", size=found.size, problem=self._closed))
            else:
                # more than there is room for would wait for itself; and the hash of a large one takes a while
                if len(group) == BATCH_FILES or sum(one.size for one in (*group, found)) > self._batch_bytes:
                    await self._read_together(group)
                    group = []
                group.append(found)
        await self._read_together(group)
        await self._batches.put(None)

    async def _read_together(self, group: Sequence[Found]) -> None:
        """In one turn of the thread: a turn for each small file would cost more than reading it."""
        batch: list[Piece] = []
        unread: list[Found] = []
        for found in group:
            if sha256 := self._journal.hash_of(found):
                batch.append(Piece(contents=Contents(found=found, sha256=sha256), held_bytes=0))
            else:
                unread.append(found)
        held = {found.path: await self._budget.take(found.size if self._is_kept(found) else 0) for found in unread}
        for found, contents in zip(unread, await asyncio.to_thread(self._contents_of, unread), strict=True):
            if isinstance(contents, FileUnusable):
                self._budget.give_back(held[found.path])
                self._tell_unreadable(found.path, contents)
            else:
                self._journal.note_hash(contents.found, contents.sha256)
                batch.append(Piece(contents=contents, held_bytes=held[found.path]))
        if batch:
            await self._batches.put(batch)

    def _is_kept(self, found: Found) -> bool:
        return found.size <= LARGE_BYTES and not self._is_dry

    def _contents_of(self, group: Sequence[Found]) -> list[Contents | FileUnusable]:
        contents: list[Contents | FileUnusable] = []
        for found in group:
            try:
                if self._is_kept(found):
                    contents.append(read_into_memory(found))
                else:
                    contents.append(read_hash(found, is_stopping=lambda: self._is_stopping))
            except FileUnusable as unusable:
                contents.append(unusable)
        return contents

    # ---- asking

    async def _ask(self) -> None:
        while (batch := await self._batches.get()) is not None:
            have = await self._have(batch)
            batch.reverse()
            while batch:
                piece = batch.pop()  # what is handed on is not held here as well
                if (outcome := self._known(piece, have)) is not None:
                    self._end(piece, outcome)
                else:
                    await self._pieces.put(piece)
        for _ in range(self._concurrency):
            await self._pieces.put(None)

    async def _have(self, batch: list[Piece]) -> dict[str, str | None]:
        if self._closed is None:
            try:
                return await self._client.check({piece.contents.sha256 for piece in batch})
            except Refused as refused:  # nothing else would go better
                self._closed = refused.problem
        return {}

    def _known(self, piece: Piece, have: dict[str, str | None]) -> Outcome | None:
        """The outcome of a file that need not be sent."""
        sha256 = piece.contents.sha256
        known = self._journal.known(sha256)
        if sha256 in have:
            # what an interrupted run has sent is told as that run would have told it
            sent = known.sent if known and known.sent and not known.is_of_this_run else None
            sent = sent or Sent(status="duplicate", image_id=have[sha256])
            return self._outcome(piece, sent.status, sent=sent)
        if known is not None and known.problem is not None:
            return self._outcome(piece, "rejected", problem=known.problem)
        if self._is_dry and self._closed is None:
            return self._outcome(piece, "missing")
        return None

    # ---- sending

    async def _send(self) -> None:
        while (piece := await self._pieces.get()) is not None:
            await self._send_in_turn(piece)
            del piece  # its bytes, before the next one comes

    async def _send_in_turn(self, piece: Piece) -> None:
        """The same content twice: the second waits for what becomes of the first."""
        sha256 = piece.contents.sha256
        while (other := self._under_way.get(sha256)) is not None:
            await other.wait()
        self._under_way[sha256] = asyncio.Event()
        try:
            outcome = self._repeated(piece) or await self._sent(piece)
        finally:
            self._under_way.pop(sha256).set()
        self._end(piece, outcome)

    def _repeated(self, piece: Piece) -> Outcome | None:
        """The outcome of a file whose content this run has met before."""
        known = self._journal.known(piece.contents.sha256)
        if known is None or not known.is_of_this_run:
            return None
        if known.sent is not None:
            return self._outcome(piece, "duplicate", sent=dataclasses.replace(known.sent, status="duplicate"))
        if known.problem is not None:
            return self._outcome(piece, "rejected", problem=known.problem)
        return None

    async def _sent(self, piece: Piece) -> Outcome:
        if self._closed is not None:
            return self._outcome(piece, "rejected", problem=self._closed)
        sha256 = piece.contents.sha256
        try:
            sent = await self._upload(piece.contents)
        except FileUnusable as unusable:
            return self._outcome(piece, "unreadable", problem=_unreadable(unusable))
        except DoorClosed as closed:
            self._closed = self._closed or closed.problem
            return self._outcome(piece, "rejected", problem=closed.problem)
        except Refused as refused:
            if refused.problem.slug in OF_THE_FILE:
                self._journal.note_refused(sha256, refused.problem)
            return self._outcome(piece, "rejected", problem=refused.problem)
        self._journal.note_sent(sha256, sent)
        return self._outcome(piece, sent.status, sent=sent, is_sent=True)

    async def _upload(self, contents: Contents) -> Sent:
        found, sha256 = contents.found, contents.sha256
        if found.size > LARGE_BYTES:
            known = self._journal.known(sha256)
            return await self._client.upload_resumably(
                contents,
                self._context,
                known=known.resumable_id if known else None,
                on_begun=lambda resumable_id: self._journal.note_begun(sha256, resumable_id),
                on_bytes=lambda count: self._listeners.on_bytes(found.path, count),
            )
        if contents.data is not None:
            return await self._client.upload_contents(contents, self._context)
        held = await self._budget_again.take(found.size)
        try:
            contents = await asyncio.to_thread(read_into_memory, found)
            if contents.sha256 != sha256:
                raise FileUnusable("it was changed meanwhile")
            return await self._client.upload_contents(contents, self._context)
        finally:
            self._budget_again.give_back(held)

    # ---- telling

    def _outcome(
        self,
        piece: Piece,
        status: Status,
        *,
        sent: Sent | None = None,
        problem: Problem | None = None,
        is_sent: bool = False,
    ) -> Outcome:
        found, sha256 = piece.contents.found, piece.contents.sha256
        return Outcome(
            path=found.path,
            status=status,
            size=found.size,
            sha256=sha256,
            is_sent=is_sent,
            sent=sent,
            problem=problem,
        )

    def _end(self, piece: Piece, outcome: Outcome) -> None:
        self._budget.give_back(piece.held_bytes)
        self._tell(outcome)

    def _tell_unreadable(self, path: Path, unusable: FileUnusable) -> None:
        self._tell(Outcome(path=path, status="unreadable", problem=_unreadable(unusable)))

    def _tell(self, outcome: Outcome) -> None:
        self._listeners.on_outcome(outcome)


def _unreadable(unusable: FileUnusable) -> Problem:
    return Problem(type="about:blank", title="The file cannot be read", detail=str(unusable))


async def _ahead(named: Sequence[Path]) -> AsyncIterator[Found | tuple[Path, FileUnusable]]:
    """``find`` in a thread, some files at a time: folders may be slow to list."""
    found = find(named)
    while some := await asyncio.to_thread(lambda: list(islice(found, LOOK_AHEAD_FILES))):
        for one in some:
            yield one


def _first(errors: BaseExceptionGroup) -> BaseException:
    """Tasks that fail side by side fail for one reason."""
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
