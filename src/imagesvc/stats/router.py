"""Routes: the statistics, as a whole and in parts."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from imagesvc.accounts.router import CurrentCaller, needs_bearer
from imagesvc.errors import Forbidden
from imagesvc.http.problems import problems
from imagesvc.http.web_parts import web_part
from imagesvc.stats.schemas import Cameras, Formats, Report, Scores, UploadsPerDay
from imagesvc.stats.service import Statistics

router = APIRouter(prefix="/v1/stats", tags=["statistics"], dependencies=[needs_bearer], responses=problems(Forbidden))

TimeZone = Annotated[str, Query(max_length=64, description="IANA time zone of the days", examples=["Europe/Berlin"])]


async def _report(request: Request, caller: CurrentCaller, time_zone: str = "UTC") -> Report:
    return await web_part(request, Statistics).report(caller, time_zone=time_zone)


@router.get("", response_model=Report)
async def statistics(request: Request, caller: CurrentCaller, tz: TimeZone = "UTC") -> Report:
    """Images by format (most popular first), by camera (the top 10) and by score, uploads of 30 days, and totals.

    Exact at every moment.
    """
    return await _report(request, caller, tz)


@router.get("/formats", response_model=Formats)
async def formats(request: Request, caller: CurrentCaller) -> Formats:
    """Images by media type, the most popular first."""
    return await _report(request, caller)


@router.get("/cameras", response_model=Cameras)
async def cameras(request: Request, caller: CurrentCaller) -> Cameras:
    """The ten cameras with the most images, and the number of images without a camera."""
    return await _report(request, caller)


@router.get("/scores", response_model=Scores)
async def scores(request: Request, caller: CurrentCaller) -> Scores:
    """Images by score, in steps of ten. Images without a score are not counted."""
    return await _report(request, caller)


@router.get("/uploads-per-day", response_model=UploadsPerDay)
async def uploads_per_day(request: Request, caller: CurrentCaller, tz: TimeZone = "UTC") -> UploadsPerDay:
    """Uploads on each of the last 30 days, including days without uploads; today is the last one."""
    return await _report(request, caller, tz)
