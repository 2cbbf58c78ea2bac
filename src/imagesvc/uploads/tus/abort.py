"""Ends uploads that will not become images. Their keys go to ``loose_objects``, their reservations to the link."""

import json
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.db import Database
from imagesvc.errors import ImagesvcError
from imagesvc.http.problems import as_problem
from imagesvc.metrics.instruments import count_refused
from imagesvc.settings import Settings
from imagesvc.tasks.leases import Lease
from imagesvc.uploads.tus import queries
from imagesvc.uploads.tus.errors import FINAL, ResumableExpired, UploadRefused
from imagesvc.uploads.tus.queries import EndResumable, Problem, State

BEGINS_WITHIN_SECONDS = 8.0
"""How long after its statement an S3 write may begin."""
MARGIN_SECONDS = 10.0
"""How long the reaper leaves the released keys alone. Longer than BEGINS_WITHIN_SECONDS."""
UNFINISHED: tuple[State, ...] = ("receiving", "finishing")
END_IN_SESSION = text("""
    SELECT end_resumable(
        f_id => :id, f_epoch => NULL, f_states => '{finishing}', f_only_expired => false,
        f_problem => CAST(:problem AS jsonb), f_keep_seconds => :keep, f_margin_seconds => :margin,
        f_task => NULL, f_lease => NULL)
""")


class AbortUpload:
    def __init__(self, settings: Settings, database: Database) -> None:
        self._keep_seconds = settings.resumable_result_seconds
        self._database = database

    async def refuse(
        self,
        upload_id: UUID,
        error: ImagesvcError,
        *,
        epoch: int | None = None,
        states: Sequence[State] = UNFINISHED,
        lease: Lease | None = None,
    ) -> bool:
        """End an upload if it is in one of ``states``, and under ``epoch`` if given. Also delete the task of ``lease``.

        Returns False when the upload did not meet the conditions. Raises asyncpg's error when the lease was lost.
        """
        return await self._end(upload_id, error, epoch, states, lease=lease, only_expired=False)

    async def expire(self, upload_id: UUID) -> bool:
        """End an upload that has expired. Returns False when it has not."""
        return await self._end(upload_id, ResumableExpired(), None, ("receiving",), lease=None, only_expired=True)

    async def _end(
        self,
        upload_id: UUID,
        error: ImagesvcError,
        epoch: int | None,
        states: Sequence[State],
        *,
        lease: Lease | None,
        only_expired: bool,
    ) -> bool:
        ending = EndResumable(
            id=upload_id,
            epoch=epoch,
            states=list(states),
            only_expired=only_expired,
            problem=as_problem(error),
            keep_seconds=self._keep_seconds,
            margin_seconds=MARGIN_SECONDS,
            task=lease.task_id if lease else None,
            lease=lease.token if lease else None,
        )
        is_ended = (await queries.END.run(self._database, ending)).is_ended
        if is_ended:
            count_refused("tus", error.slug)
        return is_ended

    async def give_up(self, session: AsyncSession, upload_id: UUID, error: ImagesvcError) -> None:
        """End an upload in the transaction that marks its task as dead."""
        values = {"keep": self._keep_seconds, "margin": MARGIN_SECONDS}
        await session.execute(END_IN_SESSION, {"id": upload_id, "problem": json.dumps(as_problem(error)), **values})


def later_error(problem: Problem | None) -> ImagesvcError:
    """What later requests for an ended upload are answered: 410 with the problem that ended it."""
    assert problem is not None  # noqa: S101 - the table requires it in the state `refused`
    slug = str(problem["type"]).rpartition("/")[2]
    return UploadRefused(
        problem.get("detail") or problem["title"], extra={"problem": problem}, headers={"Imagesvc-Problem": slug}
    )


def original_error(problem: Problem | None) -> ImagesvcError:
    """What the request that caused the end is answered: the problem itself."""
    assert problem is not None  # noqa: S101 - the table requires it in the state `refused`
    kind = FINAL.get(str(problem["type"]).rpartition("/")[2])
    return kind(problem.get("detail")) if kind else later_error(problem)
