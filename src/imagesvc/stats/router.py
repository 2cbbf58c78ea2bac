"""Routes: the statistics, whole and in parts."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from imagesvc.accounts.router import CurrentCaller, needs_bearer
from imagesvc.errors import Forbidden
from imagesvc.http.problems import problems
from imagesvc.http.web_parts import web_part
from imagesvc.stats.schemas import Cameras, Formats, Report, UploadsPerDay
from imagesvc.stats.service import Statistics

router = APIRouter(prefix="/v1/stats", tags=["statistics"], dependencies=[needs_bearer], responses=problems(Forbidden))

Zone = Annotated[str, Query(max_length=64, description="whose days are counted", examples=["Europe/Berlin"])]


async def _report(request: Request, caller: CurrentCaller, zone: str = "UTC") -> dict[str, Any]:
    stats = web_part(request, Statistics)
    return await stats.report(caller, zone=zone)


@router.get("", response_model=Report)
async def statistics(request: Request, caller: CurrentCaller, tz: Zone = "UTC") -> dict[str, Any]:
    """Formats with the most popular first, the top 10 cameras, 30 days with zeros, totals. Exact at once."""
    return await _report(request, caller, tz)


@router.get("/formats", response_model=Formats)
async def formats(request: Request, caller: CurrentCaller) -> dict[str, Any]:
    """Images by media type, the most popular first."""
    return await _report(request, caller)


@router.get("/cameras", response_model=Cameras)
async def cameras(request: Request, caller: CurrentCaller) -> dict[str, Any]:
    """The ten cameras with the most images, and how many images have none."""
    return await _report(request, caller)


@router.get("/uploads-per-day", response_model=UploadsPerDay)
async def uploads_per_day(request: Request, caller: CurrentCaller, tz: Zone = "UTC") -> dict[str, Any]:
    """The last 30 days, today last, days without uploads included."""
    return await _report(request, caller, tz)
