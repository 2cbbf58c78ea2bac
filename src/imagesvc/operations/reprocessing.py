"""Processes stored blobs again: a run visits blobs in the order of their ids and inserts tasks, a few at a time.

The position of a run is in its row and moves in the transaction that inserts the tasks. Any worker can take the next
step, and a crash loses none. The run ends at the blob that was the last one when it started: later uploads are
processed by the current code anyway. Uploads are not delayed, because only a few tasks of a run are queued at a time.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import exists, func, select, text, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.db import Database, new_id
from imagesvc.images.models import Blob, Image
from imagesvc.operations.blob_filter import BlobFilter
from imagesvc.operations.models import DerivedPart, Reprocessing, ReprocessingJson
from imagesvc.settings import Settings
from imagesvc.tasks.models import Task
from imagesvc.tasks.queue import Queue

KIND = "reprocess"
DERIVED_PARTS: tuple[DerivedPart, ...] = ("metadata", "renditions", "score")
# for the current transaction only: counting the rows of a large table takes long
LONG_TIMEOUT = text("SET LOCAL statement_timeout = '15min'")
PROCESSED = frozenset({"ready", "rejected", "failed"})
COUNT_TASKS = text("""
    SELECT payload ->> 'reprocessing' AS run,
           count(*) FILTER (WHERE state <> 'dead') AS live, count(*) FILTER (WHERE state = 'dead') AS dead
    FROM tasks WHERE kind = 'reprocess' GROUP BY 1
""")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TaskCounts:
    live: int
    dead: int


NO_TASKS = TaskCounts(live=0, dead=0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A run and its numbers of blobs. ``total`` is approximate: blobs may be deleted during the run."""

    id: UUID
    parts: Sequence[DerivedPart]
    conditions: Mapping[str, JsonValue]
    state: str
    total: int
    done: int
    failed: int


class Reprocessings:
    """Starts, plans and stops runs. Without a queue, as on the command line, the sweep of a worker starts the tasks."""

    def __init__(self, settings: Settings, database: Database, queue: Queue | None = None) -> None:
        self._max_live_tasks = settings.reprocess_at_once
        self._sessions = database.sessions
        self._queue = queue

    async def start(self, parts: Sequence[DerivedPart], blobs: BlobFilter) -> UUID:
        """Start a run and return its id, or the id of a running one with the same parts and conditions."""
        conditions = blobs.model_dump(mode="json", exclude_none=True)
        wanted = ReprocessingJson(parts=[part for part in DERIVED_PARTS if part in parts], which=conditions)
        async with self._sessions.begin() as session:
            await session.execute(LONG_TIMEOUT)
            last = select(Blob.id).order_by(Blob.id.desc()).limit(1)
            until = (await session.execute(last)).scalar_one_or_none()
            count = select(func.count()).select_from(Blob).where(*blobs.clauses())
            total = (await session.execute(count)).scalar_one()
            run = insert(Reprocessing).values(id=new_id(), wanted=wanted, total=total, until=until)
            # the update changes nothing, but makes RETURNING return the id of the existing row
            run = run.on_conflict_do_update(
                index_elements=[Reprocessing.wanted],
                index_where=Reprocessing.state == "running",
                set_={"state": "running"},
            )
            return (await session.execute(run.returning(Reprocessing.id))).scalar_one()

    async def start_for_images(self, image_ids: Collection[UUID]) -> None:
        """Start runs that derive all parts of these images again, one for each state that their blobs have."""
        images = tuple(sorted(image_ids))
        is_of_image = exists().where(Image.id.in_(images), Image.blob_id == Blob.id)
        async with self._sessions() as session:
            found = (await session.execute(select(Blob.state).where(is_of_image).distinct())).scalars().all()
        for state in sorted(PROCESSED & set(found)):
            await self.start(DERIVED_PARTS, BlobFilter.model_validate({"image": images, "state": state}))

    async def progress(self, run_id: UUID) -> Progress | None:
        async with self._sessions() as session:
            run = await session.get(Reprocessing, run_id)
            return None if run is None else _progress(run, await _count_tasks(session))

    async def latest(self, *, limit: int) -> list[Progress]:
        """The newest first."""
        async with self._sessions() as session:
            counts = await _count_tasks(session)
            runs = await session.execute(select(Reprocessing).order_by(Reprocessing.id.desc()).limit(limit))
            return [_progress(run, counts) for run in runs.scalars()]

    async def stop(self, run_id: UUID) -> bool:
        """Insert no more tasks; existing tasks still run. Returns False when the run was not running."""
        stopped = update(Reprocessing).where(Reprocessing.id == run_id, Reprocessing.state == "running")
        async with self._sessions.begin() as session:
            ended = await session.execute(
                stopped.values(state="stopped", ended_at=func.now()).returning(Reprocessing.id)
            )
            return ended.one_or_none() is not None

    async def plan(self) -> int:
        """Take one step of the oldest run that no other worker has locked. Returns how many tasks it inserted."""
        async with self._sessions.begin() as session:
            run = await _lock_next(session)
            if run is None:
                return 0
            live = (await _count_tasks(session)).get(str(run.id), NO_TASKS).live
            free = self._max_live_tasks - live
            if free * 2 < self._max_live_tasks:
                return 0
            blob_ids = await _lock_next_blobs(session, run, limit=free)
            if not blob_ids:
                if live == 0:
                    run.state, run.ended_at = "done", func.now()
                return 0
            task_ids = await _insert_tasks(session, run, blob_ids)
            run.after, run.planned = blob_ids[-1], run.planned + len(blob_ids)
        if self._queue is not None:
            for task_id in task_ids:
                self._queue.wake_soon(task_id)
        return len(task_ids)


async def _lock_next(session: AsyncSession) -> Reprocessing | None:
    query = select(Reprocessing).where(Reprocessing.state == "running").order_by(Reprocessing.id).limit(1)
    return (await session.execute(query.with_for_update(skip_locked=True))).scalar_one_or_none()


async def _lock_next_blobs(session: AsyncSession, run: Reprocessing, *, limit: int) -> Sequence[UUID]:
    """The lock prevents that a blob is deleted before its task refers to it."""
    if run.until is None:
        return []
    blobs = BlobFilter.model_validate(run.wanted["which"])
    follows = Blob.id > run.after if run.after is not None else true()
    query = select(Blob.id).where(follows, Blob.id <= run.until, *blobs.clauses()).order_by(Blob.id).limit(limit)
    await session.execute(LONG_TIMEOUT)
    return (await session.execute(query.with_for_update(read=True, key_share=True))).scalars().all()


async def _insert_tasks(session: AsyncSession, run: Reprocessing, blob_ids: Sequence[UUID]) -> Sequence[UUID]:
    """Insert a task per blob. Where another run has the same task for a blob, keep it; a dead letter starts again."""
    parts, state = run.wanted["parts"], run.wanted["which"]["state"]
    payload = {"reprocessing": str(run.id), "parts": parts, "state": state}
    dedupe_prefix = f"{KIND}:{','.join(parts)}:{state}"
    rows = [
        {
            "id": new_id(),
            "kind": KIND,
            "blob_id": blob_id,
            "payload": payload,
            "dedupe_key": f"{dedupe_prefix}:{blob_id}",
        }
        for blob_id in blob_ids
    ]
    tasks = insert(Task).values(rows)
    first_attempt = {"state": "pending", "attempts": 0, "due_at": func.now(), "last_error": None, "died_at": None}
    tasks = tasks.on_conflict_do_update(
        index_elements=[Task.dedupe_key],
        set_={**first_attempt, "payload": tasks.excluded.payload},
        where=Task.state == "dead",
    )
    return (await session.execute(tasks.returning(Task.id))).scalars().all()


async def _count_tasks(session: AsyncSession) -> dict[str, TaskCounts]:
    """The tasks of each run that has any."""
    rows = (await session.execute(COUNT_TASKS)).all()
    return {row.run: TaskCounts(live=row.live, dead=row.dead) for row in rows}


def _progress(run: Reprocessing, counts: Mapping[str, TaskCounts]) -> Progress:
    tasks = counts.get(str(run.id), NO_TASKS)
    return Progress(
        id=run.id,
        parts=run.wanted["parts"],
        conditions=run.wanted["which"],
        state=run.state,
        total=run.total,
        done=run.planned - tasks.live - tasks.dead,
        failed=tasks.dead,
    )
