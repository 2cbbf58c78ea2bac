"""The end of an upload that will never be an image: keys go to ``loose_objects``, a reservation back to its link."""

import json
from collections.abc import Sequence
from typing import Any
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

MARGIN_SECONDS = 10.0
"""How long keys that are let go are left alone: longer than a write may take to begin (``receiving``)."""
UNFINISHED = ("receiving", "finishing")
END_IN_SESSION = text("""
    SELECT end_resumable(:id, NULL, '{finishing}', false, CAST(:problem AS jsonb), :keep, :margin, NULL, NULL)
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
        states: Sequence[str] = UNFINISHED,
        lease: Lease | None = None,
    ) -> bool:
        """End an upload that is in one of ``states`` (and under this epoch); with ``lease`` its task ends as well.

        False when it was not to be ended any more. Raises asyncpg's error when the lease was lost.
        """
        is_ended = await self._end(upload_id, error, epoch, states, lease=lease, only_expired=False)
        if is_ended:
            count_refused("tus", error.slug)
        return is_ended

    async def expire(self, upload_id: UUID) -> bool:
        """End an upload whose time is over."""
        is_ended = await self._end(upload_id, ResumableExpired(), None, ("receiving",), lease=None, only_expired=True)
        if is_ended:
            count_refused("tus", ResumableExpired.slug)
        return is_ended

    async def _end(
        self,
        upload_id: UUID,
        error: ImagesvcError,
        epoch: int | None,
        states: Sequence[str],
        *,
        lease: Lease | None,
        only_expired: bool,
    ) -> bool:
        task = (lease.task_id, lease.token) if lease else (None, None)
        times = (self._keep_seconds, MARGIN_SECONDS)
        arguments = (upload_id, epoch, list(states), only_expired, as_problem(error), *times, *task)
        row = await self._database.fetch_row(queries.END, *arguments)
        return bool(row["is_ended"])

    async def give_up(self, session: AsyncSession, upload_id: UUID, error: ImagesvcError) -> None:
        """The same in a transaction that goes on: the last words of a task that is given up."""
        values = {"keep": self._keep_seconds, "margin": MARGIN_SECONDS}
        await session.execute(END_IN_SESSION, {"id": upload_id, "problem": json.dumps(as_problem(error)), **values})


def refusal(problem: dict[str, Any]) -> ImagesvcError:
    """What every later request is told: 410, and why."""
    slug = str(problem["type"]).rpartition("/")[2]
    return UploadRefused(
        problem.get("detail") or problem["title"], extra={"problem": problem}, headers={"Imagesvc-Problem": slug}
    )


def first_hand(problem: dict[str, Any]) -> ImagesvcError:
    """What the request is told in which it was found out: the problem itself."""
    kind = FINAL.get(str(problem["type"]).rpartition("/")[2])
    return kind(problem.get("detail")) if kind else refusal(problem)
