"""Route of the report of visits."""

import json
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from imagesvc.accounts.router import CurrentCaller, needs_bearer
from imagesvc.errors import Forbidden, Invalid, Malformed
from imagesvc.http.pagination import CursorsPart, fingerprint, link_next
from imagesvc.http.problems import problems
from imagesvc.http.web_parts import part
from imagesvc.jobs.report.schemas import Day, Visits
from imagesvc.jobs.report.service import VisitFilters, VisitReports
from imagesvc.stores.errors import StoreNotFound
from imagesvc.stores.schemas import Text

router = APIRouter(prefix="/v1/visits", tags=["visits"], dependencies=[needs_bearer])
VisitReportsPart = Annotated[VisitReports, Depends(part(VisitReports))]

PRIVATE = {"Cache-Control": "private, no-cache"}


@router.get("", response_model=Visits, responses=problems(Forbidden, Malformed, Invalid, StoreNotFound))
async def list_visits(
    request: Request,
    caller: CurrentCaller,
    cursors: CursorsPart,
    reports: VisitReportsPart,
    area: Annotated[Text | None, Query(description="only stores of this area")] = None,
    store_id: Annotated[Text | None, Query(description="only this store")] = None,
    start_date: Annotated[Day | None, Query(description="the first day, in the store's time zone")] = None,
    end_date: Annotated[Day | None, Query(description="the last day, inclusive, in the store's time zone")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="maximum number of stores")] = 1000,
    cursor: str | None = None,
) -> Response:
    """The images of your jobs by store and day: count, total perimeter, average seconds and average score.

    An admin sees the images of all accounts. Days are those of the store's time zone, or UTC if it has none.
    """
    filters = VisitFilters(area=area, store_id=store_id, first_day=start_date, last_day=end_date)
    query = fingerprint(
        "visits", caller.user_id, {"area": area, "store": store_id, "first": start_date, "last": end_date}
    )
    after = cursors.decode(cursor, query)[0] if cursor else ""
    page = await reports.page(caller, filters, after=str(after), limit=limit)
    next_cursor = cursors.encode(query, [page.last_id]) if page.last_id else None
    body = f'{{"results":{page.results},"next_cursor":{json.dumps(next_cursor)}}}'
    response = Response(body, headers=PRIVATE, media_type="application/json")
    link_next(request, response, next_cursor)
    return response
