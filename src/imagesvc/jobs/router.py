"""Routes of jobs and their images."""

import asyncio
from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from imagesvc.accounts.router import CurrentCaller, needs_bearer
from imagesvc.errors import Forbidden, Malformed
from imagesvc.http.idempotent_routes import IDEMPOTENCY_PROBLEMS, IdempotencyKey, idempotent_json
from imagesvc.http.pagination import CursorsPart, Limit, Page, PagingPart, fingerprint, link_next
from imagesvc.http.problems import problems
from imagesvc.http.request_context import accept_body
from imagesvc.http.web_parts import SettingsPart, part
from imagesvc.jobs.errors import BadJob, JobNotFound
from imagesvc.jobs.schemas import JOB_BODY, JobCounts, JobImage, JobMade, JobOut, NewJob, read_job
from imagesvc.jobs.service import Jobs

router = APIRouter(prefix="/v1/jobs", tags=["visits"], dependencies=[needs_bearer])
JobsPart = Annotated[Jobs, Depends(part(Jobs))]


@router.post(
    "",
    status_code=201,
    response_model=JobMade,
    responses=problems(Forbidden, BadJob, *IDEMPOTENCY_PROBLEMS),
    openapi_extra=JOB_BODY,
)
async def submit_job(
    request: Request, caller: CurrentCaller, settings: SettingsPart, jobs: JobsPart, key: IdempotencyKey = None
) -> Response:
    """Download the images of store visits, keep them as your images, and measure them in the background.

    A URL that occurs several times in a job is fetched once. Only a few URLs of one host are fetched at a time.
    """
    caller.require("upload")
    accept_body(request, max_bytes=settings.max_job_bytes)
    new_job = await _parsed(await request.body())

    async def submit(job_id: UUID) -> JobMade:
        return JobMade.of(await jobs.submit(caller, new_job, job_id=job_id))

    return await idempotent_json(request, caller.user_id, key, submit, status=201)


async def _parsed(body: bytes) -> NewJob:
    try:
        return await asyncio.to_thread(read_job, body)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**detail, "loc": ("body", *detail["loc"])} for detail in details]) from error


@router.get("", responses=problems(Forbidden, Malformed))
async def list_jobs(caller: CurrentCaller, jobs: JobsPart, paging: PagingPart) -> Page[JobCounts]:
    """Your jobs, the newest first. An admin sees all jobs."""

    async def rows(last: UUID | None, limit: int) -> Sequence[JobCounts]:
        return await jobs.page(caller, before=last, limit=limit)

    return await paging.page("jobs", caller.user_id, rows, key=(UUID, lambda job: job.job_id), item=lambda job: job)


@router.get("/{job_id}", responses=problems(Forbidden, JobNotFound))
async def get_job(request: Request, job_id: UUID, caller: CurrentCaller, jobs: JobsPart) -> JobOut:
    """A job and its errors. `completed` when all images are done, `failed` when any image failed."""
    return await jobs.get(caller, job_id)


@router.get("/{job_id}/images", responses=problems(Forbidden, Malformed, JobNotFound))
async def list_job_images(
    request: Request,
    response: Response,
    job_id: UUID,
    caller: CurrentCaller,
    cursors: CursorsPart,
    jobs: JobsPart,
    limit: Limit = 50,
    cursor: str | None = None,
) -> Page[JobImage]:
    """The images of a job in the order of the request, each with its state and measurements."""
    query = fingerprint("job-images", caller.user_id, {"job": job_id})
    after = cursors.decode(cursor, query) if cursor else ()
    visit, position = (after[0], after[1]) if len(after) == 2 else (0, -1)
    images = await jobs.images(caller, job_id, after=(int(str(visit)), int(str(position))), limit=limit + 1)
    shown = images[:limit]
    next_cursor = cursors.encode(query, shown[-1][0]) if len(images) > limit else None
    link_next(request, response, next_cursor)
    return Page(items=[image for _, image in shown], next_cursor=next_cursor)


@router.delete("/{job_id}", responses=problems(Forbidden, JobNotFound))
async def cancel_job(request: Request, job_id: UUID, caller: CurrentCaller, jobs: JobsPart) -> JobOut:
    """Cancel the images that have not started. Running images still end and are counted; finished images stay."""
    return await jobs.cancel(caller, job_id)
