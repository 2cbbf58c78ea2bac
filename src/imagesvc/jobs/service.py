"""Submit a job, look how it goes, stop it."""

import asyncio
import dataclasses
import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from imagesvc.accounts.service import Caller
from imagesvc.db import Database, new_id
from imagesvc.jobs import completion, queries
from imagesvc.jobs.errors import UNKNOWN_STORE, BadJob, JobNotFound, told
from imagesvc.jobs.models import Job
from imagesvc.jobs.schemas import JobCounts, JobError, JobImage, JobOut, NewJob
from imagesvc.settings import Settings

KIND = "download_visit_image"
MAX_ERRORS = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """The rows of a job as columns, so that each table is written by one statement."""

    visit_ids: list[UUID] = dataclasses.field(default_factory=list)
    store_ids: list[str] = dataclasses.field(default_factory=list)
    times: list[dt.datetime] = dataclasses.field(default_factory=list)
    image_ids: list[UUID] = dataclasses.field(default_factory=list)
    visits_of_images: list[UUID] = dataclasses.field(default_factory=list)
    positions: list[int] = dataclasses.field(default_factory=list)
    urls: list[str] = dataclasses.field(default_factory=list)
    fetch_ids: list[UUID] = dataclasses.field(default_factory=list)


class Jobs:
    def __init__(self, settings: Settings, database: Database) -> None:
        self._max_images = settings.max_job_images
        self._database = database
        self._sessions = database.sessions

    async def submit(self, caller: Caller, wanted: NewJob, *, job_id: UUID) -> UUID:
        """Take a job; again with the same id: the same job. Raises Forbidden, BadJob."""
        caller.require("upload")
        self._require_whole(wanted)
        plan = await asyncio.to_thread(_planned, wanted)
        async with self._sessions.begin() as session:
            arguments = {"job": job_id, "owner": caller.user_id, "total": len(plan.image_ids)}
            if (await session.execute(queries.INSERT_JOB, arguments)).one_or_none() is None:
                return job_id
            visits = {"job": job_id, "ids": plan.visit_ids, "stores": plan.store_ids, "times": plan.times}
            await session.execute(queries.INSERT_VISITS, visits)
            images = {
                "job": job_id,
                "owner": caller.user_id,
                "ids": plan.image_ids,
                "visits": plan.visits_of_images,
                "positions": plan.positions,
                "urls": plan.urls,
                "fetches": plan.fetch_ids,
                "unknown": UNKNOWN_STORE,
                "kind": KIND,
            }
            failed = (await session.execute(queries.INSERT_IMAGES, images)).scalar_one()
            await completion.count(session, job_id, failed=failed)
        return job_id

    def _require_whole(self, wanted: NewJob) -> None:
        there = len(wanted.visits)
        if wanted.count != there:
            raise _bad("/count", f"{wanted.count} visits are announced, there are {there}.")
        if sum(len(visit.image_url) for visit in wanted.visits) > self._max_images:
            raise _bad("/visits", f"At most {self._max_images} images are taken in one job.")

    async def get(self, caller: Caller, job_id: UUID) -> JobOut:
        """How it goes, and what went wrong. Raises Forbidden, JobNotFound."""
        caller.require("read")
        job = await self._job(caller, job_id)
        async with self._database.engine.connect() as connection:
            found = (await connection.exec_driver_sql(queries.ERRORS, (job_id, MAX_ERRORS, UNKNOWN_STORE))).all()
        errors = [JobError.of(row.store_id, row.url, row.reason) for row in found]
        omitted = found[0].of - len(found) if found else 0
        return JobOut(**_counts(job).model_dump(), errors=errors, errors_omitted=omitted)

    async def page(self, caller: Caller, *, before: UUID | None, limit: int) -> Sequence[JobCounts]:
        caller.require("read")
        async with self._sessions() as session:
            return [_counts(job) for job in await queries.page_of_jobs(session, caller, before=before, limit=limit)]

    async def images(
        self, caller: Caller, job_id: UUID, *, after: tuple[int, int], limit: int
    ) -> list[tuple[tuple[int, int], JobImage]]:
        """Each with its place, in the order of the request. Raises Forbidden, JobNotFound."""
        caller.require("read")
        await self._job(caller, job_id)
        async with self._database.engine.connect() as connection:
            found = (await connection.exec_driver_sql(queries.IMAGES, (job_id, *after, limit))).mappings().all()
        return [
            (
                (row["visit"], row["position"]),
                JobImage.model_validate({**row, "error": told(row["reason"]) if row["reason"] else None}),
            )
            for row in found
        ]

    async def cancel(self, caller: Caller, job_id: UUID) -> JobOut:
        """Stop what has not begun; of a finished job that is nothing. Raises Forbidden, JobNotFound."""
        caller.require("upload")
        caller.require("read")
        async with self._sessions.begin() as session:
            if await queries.lock_job_of(session, caller, job_id) is None:
                raise JobNotFound
            await completion.cancel(session, job_id)
        return await self.get(caller, job_id)

    async def _job(self, caller: Caller, job_id: UUID) -> Job:
        async with self._sessions() as session:
            job = await queries.job_of(session, caller, job_id)
        if job is None:
            raise JobNotFound
        return job


def _planned(wanted: NewJob) -> Plan:
    plan, fetches = Plan(), dict[str, UUID]()
    for visit in wanted.visits:
        visit_id = new_id()
        plan.visit_ids.append(visit_id)
        plan.store_ids.append(visit.store_id)
        plan.times.append(visit.visit_time)
        for position, url in enumerate(visit.image_url):
            plan.image_ids.append(new_id())
            plan.visits_of_images.append(visit_id)
            plan.positions.append(position)
            plan.urls.append(url)
            plan.fetch_ids.append(fetches.setdefault(url, new_id()))
    return plan


def _counts(job: Job) -> JobCounts:
    columns = {name: getattr(job, name) for name in JobCounts.model_fields if name != "job_id"}
    return JobCounts(job_id=job.id, **columns)


def _bad(pointer: str, detail: str) -> BadJob:
    return BadJob(f"{pointer}: {detail}", errors=[{"pointer": pointer, "detail": detail}])
