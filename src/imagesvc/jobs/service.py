"""Submits, reads, lists and cancels jobs."""

import asyncio
import dataclasses
import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from imagesvc.accounts.service import Caller
from imagesvc.db import Database, new_id
from imagesvc.jobs import completion, queries
from imagesvc.jobs.errors import UNKNOWN_STORE, BadJob, JobNotFound, message_of
from imagesvc.jobs.models import Job
from imagesvc.jobs.queries import FailedImage, ListedImage
from imagesvc.jobs.schemas import JobCounts, JobError, JobImage, JobOut, NewJob
from imagesvc.settings import Settings

KIND = "download_visit_image"
MAX_ERRORS = 1000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobRows:
    """The rows of a job, column by column: one statement then inserts all rows of a table."""

    visit_ids: list[UUID] = dataclasses.field(default_factory=list)
    store_ids: list[str] = dataclasses.field(default_factory=list)
    visit_times: list[dt.datetime] = dataclasses.field(default_factory=list)
    image_ids: list[UUID] = dataclasses.field(default_factory=list)
    image_visit_ids: list[UUID] = dataclasses.field(default_factory=list)
    positions: list[int] = dataclasses.field(default_factory=list)
    urls: list[str] = dataclasses.field(default_factory=list)
    fetch_ids: list[UUID] = dataclasses.field(default_factory=list)


class Jobs:
    """The service behind the job routes."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._max_images = settings.max_job_images
        self._database = database
        self._sessions = database.sessions

    async def submit(self, caller: Caller, new_job: NewJob, *, job_id: UUID) -> UUID:
        """Insert a job and its tasks, unless a job with this id exists. Raises Forbidden, BadJob."""
        caller.require("upload")
        self._require_valid(new_job)
        rows = await asyncio.to_thread(_rows_of, new_job)
        async with self._sessions.begin() as session:
            arguments = {"job": job_id, "owner": caller.user_id, "total": len(rows.image_ids)}
            if (await session.execute(queries.INSERT_JOB, arguments)).one_or_none() is None:
                return job_id
            visits = {"job": job_id, "ids": rows.visit_ids, "stores": rows.store_ids, "times": rows.visit_times}
            await session.execute(queries.INSERT_VISITS, visits)
            images = {
                "job": job_id,
                "owner": caller.user_id,
                "ids": rows.image_ids,
                "visits": rows.image_visit_ids,
                "positions": rows.positions,
                "urls": rows.urls,
                "fetches": rows.fetch_ids,
                "unknown": UNKNOWN_STORE,
                "kind": KIND,
            }
            failed = (await session.execute(queries.INSERT_IMAGES, images)).scalar_one()
            await completion.add_to_counts(session, job_id, failed=failed)
        return job_id

    def _require_valid(self, new_job: NewJob) -> None:
        visits = len(new_job.visits)
        if new_job.count != visits:
            raise _bad_job("/count", f"The count is {new_job.count}, but the job has {visits} visits.")
        if sum(len(visit.image_url) for visit in new_job.visits) > self._max_images:
            raise _bad_job("/visits", f"A job may have at most {self._max_images} images.")

    async def get(self, caller: Caller, job_id: UUID) -> JobOut:
        """The job's counts and its errors, at most MAX_ERRORS. Raises Forbidden, JobNotFound."""
        caller.require("read")
        job = await self._job(caller, job_id)
        failed = await self._database.fetch_all(queries.ERRORS, FailedImage, job_id, MAX_ERRORS, UNKNOWN_STORE)
        errors = [JobError.of(image.store_id, image.url, image.reason) for image in failed]
        omitted = failed[0].total - len(failed) if failed else 0
        return JobOut(**_counts(job).model_dump(), errors=errors, errors_omitted=omitted)

    async def page(self, caller: Caller, *, before: UUID | None, limit: int) -> Sequence[JobCounts]:
        """The newest first. Raises Forbidden."""
        caller.require("read")
        async with self._sessions() as session:
            return [_counts(job) for job in await queries.page_of_jobs(session, caller, before=before, limit=limit)]

    async def images(
        self, caller: Caller, job_id: UUID, *, after: tuple[int, int], limit: int
    ) -> list[tuple[tuple[int, int], JobImage]]:
        """Images in the order of the request, each with the positions of its visit and of itself in the visit.

        Raises Forbidden, JobNotFound.
        """
        caller.require("read")
        await self._job(caller, job_id)
        images = await self._database.fetch_all(queries.IMAGES, ListedImage, job_id, *after, limit)
        return [((image.visit, image.position), _job_image(image)) for image in images]

    async def cancel(self, caller: Caller, job_id: UUID) -> JobOut:
        """Cancel the images that have not started; none in a finished job. Raises Forbidden, JobNotFound."""
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


def _rows_of(new_job: NewJob) -> JobRows:
    rows, fetches = JobRows(), dict[str, UUID]()
    for visit in new_job.visits:
        visit_id = new_id()
        rows.visit_ids.append(visit_id)
        rows.store_ids.append(visit.store_id)
        rows.visit_times.append(visit.visit_time)
        for position, url in enumerate(visit.image_url):
            rows.image_ids.append(new_id())
            rows.image_visit_ids.append(visit_id)
            rows.positions.append(position)
            rows.urls.append(url)
            rows.fetch_ids.append(fetches.setdefault(url, new_id()))
    return rows


def _counts(job: Job) -> JobCounts:
    columns = {name: getattr(job, name) for name in JobCounts.model_fields if name != "job_id"}
    return JobCounts(job_id=job.id, **columns)


def _job_image(image: ListedImage) -> JobImage:
    return JobImage(
        upload_id=image.upload_id,
        image_id=image.image_id,
        store_id=image.store_id,
        visit_time=image.visit_time,
        image_url=image.image_url,
        state=image.state,
        perimeter=image.perimeter,
        score=image.score,
        seconds=image.seconds,
        error=message_of(image.reason) if image.reason else None,
    )


def _bad_job(pointer: str, detail: str) -> BadJob:
    return BadJob(f"{pointer}: {detail}", errors=[{"pointer": pointer, "detail": detail}])
