"""Routes: batches, stores, visits, jobs and resizes."""

import csv
import dataclasses
import datetime as dt
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from uuid import UUID

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from imagesvc.accounts.service import Caller
from imagesvc.errors import ImagesvcError, Invalid
from imagesvc.http.conditional import strong_etag
from imagesvc.http.file_response import StoredFileResponse
from imagesvc.http.pagination import Cursors, fingerprint
from imagesvc.http.web_parts import web_part
from imagesvc.images.router import PRIVATE, opener
from imagesvc.jobs.report.service import ReportPage, VisitFilters, VisitReports
from imagesvc.jobs.schemas import JobCounts
from imagesvc.jobs.service import Jobs
from imagesvc.processing.contract import MEDIA_TYPE_OF_FORMAT
from imagesvc.resizes.service import Resizes
from imagesvc.stores.models import Store
from imagesvc.stores.schemas import NewStore, StoreOut, Text
from imagesvc.stores.service import Stores
from imagesvc.uploads.batches.service import Batches
from imagesvc.web.dashboard.access import SentForm, SignedIn
from imagesvc.web.dashboard.charts import columns
from imagesvc.web.dashboard.pages import dashboard_router, filters_of, go, listed, next_url, page

router = dashboard_router()

PER_PAGE = 25
STORES_PER_PAGE = 20
STORES_PER_READ = 200
"""For the file: its lines are sent while the next stores are read."""
DEFAULT_DAYS = 30
STORE = ("store_id", "area", "store_name")
MEASURES = ("images", "perimeter", "average_seconds", "average_score")
MAX_JOB_IMAGES = 200
MAX_RESIZES = 100


class NamedStore(NewStore):
    """A store with its id, which is part of the path in the API."""

    store_id: Text


@router.get("/batches")
async def batches(request: Request, session: SignedIn) -> Response:
    """Upload requests with their files, the newest first."""
    cursors, query = web_part(request, Cursors), fingerprint("batches", session.caller.user_id, {})
    cursor = request.query_params.get("cursor")
    before = cursors.decode(cursor, query)[0] if cursor else None
    found = await web_part(request, Batches).page(
        session.caller, before=before if isinstance(before, UUID) else None, offset=0, limit=PER_PAGE
    )
    next_cursor = cursors.encode(query, [found.last_id]) if found.last_id else None
    following = next_url(request, next_cursor)
    return page(request, "batches", session, batches=json.loads(found.items), next=following)


@router.get("/batches/{batch_id:uuid}")
async def batch(request: Request, session: SignedIn, batch_id: UUID) -> Response:
    found = json.loads(await web_part(request, Batches).get(session.caller, batch_id))
    return page(request, "batch", session, batch=found)


@router.get("/stores")
async def stores(request: Request, session: SignedIn) -> Response:
    area = _text(request.query_params.get("area"))

    async def rows(last: str | None, limit: int) -> Sequence[Store]:
        return await web_part(request, Stores).page(session.caller, area=area, after=last, limit=limit)

    found = await listed(
        request,
        session,
        "stores",
        rows,
        key=(str, lambda store: store.id),
        item=StoreOut.of,
        filters={"area": area},
    )
    return page(request, "stores", session, stores=found.items, next=found.next)


@router.post("/stores")
async def put_store(request: Request, form: SentForm) -> Response:
    """Add or replace one store."""
    names = ("store_id", "store_name", "area", "time_zone")
    store = form.model(NamedStore, **{name: form.text(name) for name in names})
    await web_part(request, Stores).put(form.caller, store.store_id, store)
    return go("/admin/stores", done="saved")


@router.post("/stores/import")
async def import_stores(request: Request, form: SentForm) -> Response:
    """Import the pasted lines of a CSV file."""

    async def lines() -> AsyncIterator[bytes]:
        yield (form.text("csv") or "").encode("utf-8", "replace")

    report = await web_part(request, Stores).import_csv(form.caller, lines())
    return page(request, "imported", form.session, report=report)


@router.get("/visits")
async def visits(request: Request, session: SignedIn) -> Response:
    """The images of jobs by store and day: of the last 30 days, unless the form says otherwise."""
    problem, stores_found, following = None, [], None
    try:
        filters = _filters(request)
        query = fingerprint("visits", session.caller.user_id, dataclasses.asdict(filters))
        cursors, cursor = web_part(request, Cursors), request.query_params.get("cursor")
        after = str(cursors.decode(cursor, query)[0]) if cursor else ""
        report = await web_part(request, VisitReports).page(session.caller, filters, after=after, limit=STORES_PER_PAGE)
        stores_found = json.loads(report.results)
        following = next_url(request, cursors.encode(query, [report.last_id]) if report.last_id else None)
    except ImagesvcError as error:
        filters, problem = VisitFilters(), error
    per_day: Counter[str] = Counter()
    for store in stores_found:
        per_day.update({day["date"]: day["images"] for day in store["data"]})
    return page(
        request,
        "visits",
        session,
        stores=stores_found,
        days=columns(sorted(per_day.items())),
        dates=filters,
        problem=(problem.detail or problem.title) if problem else None,
        csv_query=filters_of(request),
        next=following,
        status=problem.status if problem else 200,
    )


@router.get("/visits.csv")
async def visits_csv(request: Request, session: SignedIn) -> Response:
    """The same as a file for spreadsheets, with all stores."""
    reports, filters = web_part(request, VisitReports), _filters(request)
    first = await reports.page(session.caller, filters, after="", limit=STORES_PER_READ)  # before the answer begins
    headers = {"Content-Disposition": 'attachment; filename="visits.csv"', "Cache-Control": "no-store"}
    return StreamingResponse(
        _csv_lines(reports, session.caller, filters, first), headers=headers, media_type="text/csv"
    )


async def _csv_lines(
    reports: VisitReports, caller: Caller, filters: VisitFilters, report: ReportPage
) -> AsyncIterator[str]:
    """The lines of the file, a page of stores at a time. ``report`` is the first page."""
    yield _csv([(*STORE, "date", *MEASURES)])
    while True:
        yield _csv(
            [*(_inert(store[name]) for name in STORE), day["date"], *(day[name] for name in MEASURES)]
            for store in json.loads(report.results)
            for day in store["data"]
        )
        if report.last_id is None:
            return
        report = await reports.page(caller, filters, after=report.last_id, limit=STORES_PER_READ)


def _csv(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _inert(text: str | None) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text and text[0] in "=+-@\t\r" else text or ""


def _filters(request: Request) -> VisitFilters:
    """A form without dates means the last 30 days; empty dates mean all. Raises Invalid."""
    given = {name: value.strip() or None for name, value in request.query_params.items()}
    if not given.keys() & {"start_date", "end_date"}:
        given["start_date"] = str(dt.datetime.now(dt.UTC).date() - dt.timedelta(days=DEFAULT_DAYS - 1))
    try:
        first, last = (
            dt.date.fromisoformat(text) if (text := given.get(name)) else None for name in ("start_date", "end_date")
        )
    except ValueError:
        raise Invalid("Days are written as 2026-11-20.") from None
    return VisitFilters(
        area=_text(given.get("area")), store_id=_text(given.get("store_id")), first_day=first, last_day=last
    )


def _text(value: str | None) -> str | None:
    return value.replace("\x00", "")[:200] if value else None


@router.get("/jobs")
async def jobs(request: Request, session: SignedIn) -> Response:
    async def rows(last: UUID | None, limit: int) -> Sequence[JobCounts]:
        return await web_part(request, Jobs).page(session.caller, before=last, limit=limit)

    found = await listed(request, session, "jobs", rows, key=(UUID, lambda job: job.job_id), item=lambda job: job)
    return page(request, "jobs", session, jobs=found.items, next=found.next)


@router.get("/jobs/{job_id:uuid}")
async def job(request: Request, session: SignedIn, job_id: UUID) -> Response:
    """The progress of a job, its errors and its first images."""
    service = web_part(request, Jobs)
    found = await service.get(session.caller, job_id)
    images = await service.images(session.caller, job_id, after=(0, -1), limit=MAX_JOB_IMAGES)
    return page(request, "job", session, job=found, images=[image for _, image in images])


@router.post("/jobs/{job_id:uuid}/cancel")
async def cancel_job(request: Request, form: SentForm, job_id: UUID) -> Response:
    await web_part(request, Jobs).cancel(form.caller, job_id)
    return go(f"/admin/jobs/{job_id}", done="cancelled")


@router.get("/resizes")
async def resizes(request: Request, session: SignedIn) -> Response:
    found = await web_part(request, Resizes).latest(session.caller, limit=MAX_RESIZES)
    return page(request, "resizes", session, resizes=found)


@router.get("/resizes/{token:uuid}")
async def resized_image(request: Request, session: SignedIn, token: UUID) -> Response:
    """The result of a resize."""
    found = await web_part(request, Resizes).result(session.caller, token)
    return StoredFileResponse(
        opener(request, found.key),
        size=found.bytes,
        media_type=MEDIA_TYPE_OF_FORMAT[found.format],
        etag=strong_etag(found.sha256.hex()),
        cache_control=PRIVATE,
    )
