"""Process again what is there: a walk over blobs in the order of their ids, as tasks, a bounded number at a time.

The walk's place is a row, changed in the transaction that makes the tasks: any worker takes the next step, and a crash
loses none. What comes in while it runs is processed by today's code anyway, so it ends at the blob that was the last
when it began. Uploads do not wait for it: of its tasks only a few are in the queue at any moment.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import func, select, text, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.db import Database, new_id
from imagesvc.images.models import Blob
from imagesvc.operations.blob_filter import Which
from imagesvc.operations.models import Reprocessing
from imagesvc.settings import Settings
from imagesvc.tasks.models import Task
from imagesvc.tasks.queue import Queue

KIND = "reprocess"
Part = Literal["metadata", "renditions", "score"]
PARTS: tuple[Part, ...] = ("metadata", "renditions", "score")
# for this transaction only: counting a large table may take a while
PATIENCE = text("SET LOCAL statement_timeout = '15min'")
TASKS = text("""
    SELECT count(*) FILTER (WHERE state <> 'dead') AS live, count(*) FILTER (WHERE state = 'dead') AS dead
    FROM tasks WHERE kind = 'reprocess' AND payload ->> 'reprocessing' = :id
""")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How many blobs: chosen (about: some may be deleted meanwhile), done with, given up."""

    id: UUID
    wanted: dict[str, Any]
    state: str
    total: int
    done: int
    failed: int


class Reprocessings:
    """Without a queue, as on the command line, walks are begun and looked at, and workers do the rest."""

    def __init__(self, settings: Settings, database: Database, queue: Queue | None = None) -> None:
        self._at_once = settings.reprocess_at_once
        self._sessions = database.sessions
        self._queue = queue

    async def begin(self, parts: Sequence[Part], which: Which) -> UUID:
        """Begin a walk; one for the same that is under way is the same walk."""
        chosen = which.model_dump(mode="json", exclude_none=True)
        wanted = {"parts": [part for part in PARTS if part in parts], "which": chosen}
        async with self._sessions.begin() as session:
            await session.execute(PATIENCE)
            last = select(Blob.id).order_by(Blob.id.desc()).limit(1)
            until = (await session.execute(last)).scalar_one_or_none()
            count = select(func.count()).select_from(Blob).where(*which.conditions())
            total = (await session.execute(count)).scalar_one()
            walk = insert(Reprocessing).values(id=new_id(), wanted=wanted, total=total, until=until)
            # the same once more changes nothing, but tells its id
            walk = walk.on_conflict_do_update(
                index_elements=[Reprocessing.wanted],
                index_where=Reprocessing.state == "running",
                set_={"state": "running"},
            )
            return (await session.execute(walk.returning(Reprocessing.id))).scalar_one()

    async def progress(self, walk_id: UUID) -> Progress | None:
        async with self._sessions() as session:
            walk = await session.get(Reprocessing, walk_id)
            return None if walk is None else await _progress(session, walk)

    async def latest(self, *, most: int) -> list[Progress]:
        """The newest first."""
        async with self._sessions() as session:
            found = await session.execute(select(Reprocessing).order_by(Reprocessing.id.desc()).limit(most))
            return [await _progress(session, walk) for walk in found.scalars()]

    async def stop(self, walk_id: UUID) -> bool:
        """No more tasks are made; those that are there come to their end. False when it was not running."""
        stopped = update(Reprocessing).where(Reprocessing.id == walk_id, Reprocessing.state == "running")
        async with self._sessions.begin() as session:
            ended = await session.execute(
                stopped.values(state="stopped", ended_at=func.now()).returning(Reprocessing.id)
            )
            return ended.one_or_none() is not None

    async def plan(self) -> int:
        """One step of the oldest walk that no other worker has at hand. Returns how many tasks were made."""
        async with self._sessions.begin() as session:
            walk = await _lock_next(session)
            if walk is None:
                return 0
            live = (await session.execute(TASKS, {"id": str(walk.id)})).one().live
            room = self._at_once - live
            if room * 2 < self._at_once:
                return 0
            blob_ids = await _next_blobs(session, walk, most=room)
            if not blob_ids:
                if live == 0:
                    walk.state, walk.ended_at = "done", func.now()
                return 0
            tasks = await _make_tasks(session, walk, blob_ids)
            walk.after, walk.planned = blob_ids[-1], walk.planned + len(blob_ids)
        if self._queue is not None:
            for task_id in tasks:
                self._queue.wake_soon(task_id)
        return len(tasks)


async def _lock_next(session: AsyncSession) -> Reprocessing | None:
    query = select(Reprocessing).where(Reprocessing.state == "running").order_by(Reprocessing.id).limit(1)
    return (await session.execute(query.with_for_update(skip_locked=True))).scalar_one_or_none()


async def _next_blobs(session: AsyncSession, walk: Reprocessing, *, most: int) -> Sequence[UUID]:
    """Locked so that none is deleted before its task refers to it."""
    if walk.until is None:
        return []
    which = Which.model_validate(walk.wanted["which"])
    follow = Blob.id > walk.after if walk.after is not None else true()
    query = select(Blob.id).where(follow, Blob.id <= walk.until, *which.conditions()).order_by(Blob.id).limit(most)
    await session.execute(PATIENCE)
    return (await session.execute(query.with_for_update(read=True, key_share=True))).scalars().all()


async def _make_tasks(session: AsyncSession, walk: Reprocessing, blob_ids: Sequence[UUID]) -> Sequence[UUID]:
    """One for each; none where another walk has one for the same, and a dead letter of such a one begins anew."""
    state = walk.wanted["which"]["state"]
    payload = {"reprocessing": str(walk.id), "parts": walk.wanted["parts"], "state": state}
    same = f"{KIND}:{','.join(payload['parts'])}:{state}"
    rows = [
        {"id": new_id(), "kind": KIND, "blob_id": blob_id, "payload": payload, "dedupe_key": f"{same}:{blob_id}"}
        for blob_id in blob_ids
    ]
    made = insert(Task).values(rows)
    anew = {"state": "pending", "attempts": 0, "due_at": func.now(), "last_error": None, "died_at": None}
    made = made.on_conflict_do_update(
        index_elements=[Task.dedupe_key],
        set_={**anew, "payload": made.excluded.payload},
        where=Task.state == "dead",
    )
    return (await session.execute(made.returning(Task.id))).scalars().all()


async def _progress(session: AsyncSession, walk: Reprocessing) -> Progress:
    tasks = (await session.execute(TASKS, {"id": str(walk.id)})).one()
    return Progress(
        id=walk.id,
        wanted=walk.wanted,
        state=walk.state,
        total=walk.total,
        done=walk.planned - tasks.live - tasks.dead,
        failed=tasks.dead,
    )
