"""Routes: sign in, sign out, and the overview."""

import dataclasses
from urllib.parse import urlsplit

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from imagesvc.accounts.errors import TooManyFailures, TooManyLogins, WrongPassword
from imagesvc.accounts.sessions import WebSessions
from imagesvc.http.forms import read_form
from imagesvc.http.public_path import public_path
from imagesvc.http.web_parts import SettingsPart, web_part
from imagesvc.metrics.database_gauges import DatabaseGauges
from imagesvc.stats.service import Statistics
from imagesvc.web.dashboard.access import (
    HOME,
    MAX_FORM_BYTES,
    SIGN_IN,
    SentForm,
    SignedIn,
    cookie_name,
    cookie_of,
    is_secure,
    require_own_origin,
)
from imagesvc.web.dashboard.charts import columns, rows
from imagesvc.web.dashboard.pages import dashboard_router, go, page
from imagesvc.web.rendering import render

router = dashboard_router()


@router.get("/sign-in")
async def sign_in_page(request: Request) -> HTMLResponse:
    return _sign_in_page(request, wanted=request.query_params.get("next", HOME))


@router.post("/sign-in")
async def sign_in(request: Request, settings: SettingsPart) -> Response:
    """Failures are counted and slowed as those of the API."""
    require_own_origin(request)
    form = dict(await read_form(request, max_bytes=MAX_FORM_BYTES, max_fields=20))
    address = request.client.host if request.client else None
    wanted = form.get("next", HOME)
    account = form.get("account", "")
    try:
        cookie = await web_part(request, WebSessions).sign_in(account, form.get("password", ""), address=address)
    except (WrongPassword, TooManyFailures, TooManyLogins) as error:
        answer = _sign_in_page(request, wanted=wanted, account=account, error=error.title, status=error.status)
        if error.retry_after_seconds is not None:
            answer.headers["Retry-After"] = str(error.retry_after_seconds)
        return answer
    signed_in = RedirectResponse(public_path(_own_page(wanted)), status_code=303)
    signed_in.set_cookie(
        cookie_name(settings),
        cookie,
        max_age=settings.web_session_seconds,
        path="/" if is_secure(settings) else public_path(HOME),
        secure=is_secure(settings),
        httponly=True,
        samesite="strict",
    )
    return signed_in


def _sign_in_page(
    request: Request, *, wanted: str, account: str = "", error: str | None = None, status: int = 200
) -> HTMLResponse:
    return render(
        request,
        "dashboard/sign_in.html",
        status=status,
        language="en",
        wanted=_own_page(wanted),
        account=account[:200],
        error=error,
        here="",
    )


def _own_page(wanted: str) -> str:
    """A page of the dashboard: whatever else a link asks for is the overview."""
    parts = urlsplit(wanted)
    is_own = not parts.scheme and not parts.netloc and (parts.path == HOME or parts.path.startswith(f"{HOME}/"))
    return wanted if is_own and "\\" not in wanted and not wanted.startswith(SIGN_IN) else HOME


@router.post("/sign-out")
async def sign_out(request: Request, form: SentForm, settings: SettingsPart) -> Response:
    await web_part(request, WebSessions).end(cookie_of(request))
    answer = go(SIGN_IN)
    path = "/" if is_secure(settings) else public_path(HOME)
    answer.delete_cookie(cookie_name(settings), path=path, secure=is_secure(settings), httponly=True, samesite="strict")
    return answer


@router.get("")
async def overview(request: Request, session: SignedIn) -> Response:
    """Statistics and health for admins. A member sees their images instead."""
    if "stats" not in session.caller.scopes:
        return go("/admin/images")
    report = await web_part(request, Statistics).report(session.caller)
    gauges = web_part(request, DatabaseGauges)
    await gauges.refresh()
    days = [(str(day.date), day.count) for day in report.uploads_per_day]
    return page(
        request,
        "overview",
        session,
        report=report,
        health=gauges.snapshot,
        counts=dataclasses.asdict(gauges.snapshot.counts) if gauges.snapshot.counts else None,
        days=columns(days),
        today=days[-1][1] if days else 0,
        formats=rows([(entry.media_type.removeprefix("image/").upper(), entry.count) for entry in report.formats]),
        cameras=rows([(entry.model, entry.count) for entry in report.cameras]),
        scores=columns([(f"{entry.min_score}", entry.count) for entry in report.scores]),
    )
