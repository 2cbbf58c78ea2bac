"""Routes: jobs, and how their images fare."""

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
    """Have pictures of visits downloaded, kept as your images, and measured. The answer does not wait for that.

    A URL that stands several times in one job is fetched once. Host by host only a few are fetched at a time.
    """
    caller.require("upload")
    accept_body(request, max_bytes=settings.max_job_bytes)
    wanted = await _wanted(await request.body())

    async def submit(job_id: UUID) -> JobMade:
        return JobMade.of(await jobs.submit(caller, wanted, job_id=job_id))

    return await idempotent_json(request, caller.user_id, key, submit, status=201)


async def _wanted(body: bytes) -> NewJob:
    try:
        return await asyncio.to_thread(read_job, body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in found]) from error


@router.get("", responses=problems(Forbidden, Malformed))
async def list_jobs(caller: CurrentCaller, jobs: JobsPart, paging: PagingPart) -> Page[JobCounts]:
    """Your jobs, the newest first; an admin sees all."""

    async def rows(last: UUID | None, limit: int) -> Sequence[JobCounts]:
        return await jobs.page(caller, before=last, limit=limit)

    return await paging.page("jobs", caller.user_id, rows, key=(UUID, lambda job: job.job_id), item=lambda job: job)


@router.get("/{job_id}", responses=problems(Forbidden, JobNotFound))
async def get_job(request: Request, job_id: UUID, caller: CurrentCaller, jobs: JobsPart) -> JobOut:
    """How a job goes: `ongoing`; `completed` when all images are done, `failed` when any is not; `cancelled`."""
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
    """A job's images in the order of the request, with what each came to."""
    query = fingerprint("job-images", caller.user_id, {"job": job_id})
    after = cursors.decode(cursor, query) if cursor else ()
    place = (after[0], after[1]) if len(after) == 2 else (0, -1)
    found = await jobs.images(caller, job_id, after=(int(str(place[0])), int(str(place[1]))), limit=limit + 1)
    shown = found[:limit]
    next_cursor = cursors.encode(query, shown[-1][0]) if len(found) > limit else None
    link_next(request, response, next_cursor)
    return Page(items=[image for _, image in shown], next_cursor=next_cursor)


@router.delete("/{job_id}", responses=problems(Forbidden, JobNotFound))
async def cancel_job(request: Request, job_id: UUID, caller: CurrentCaller, jobs: JobsPart) -> JobOut:
    """Stop what has not begun. What is under way still ends, and is counted; images that are done stay."""
    return await jobs.cancel(caller, job_id)
