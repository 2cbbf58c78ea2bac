"""``/livez`` (the event loop runs), ``/readyz`` (the dependencies answer) and ``/metrics`` (Prometheus).

The answers state only "ok", "slow" or "away"; the reason is in the log. The shipped reverse proxy does not forward the
last two (deploy/).
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Literal

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from imagesvc.errors import NotFound, Unavailable
from imagesvc.http.problems import Responses, problems
from imagesvc.http.web_parts import web_part
from imagesvc.metrics.exposition import MEDIA_TYPE, MetricsPage
from imagesvc.settings import Settings

CHECK_SECONDS = 2.0

Check = Callable[[], Awaitable[object]]
State = Literal["ok", "slow", "away"]

log = structlog.get_logger("imagesvc.http")
router = APIRouter(tags=["health"])


@dataclasses.dataclass(frozen=True, slots=True)
class HealthChecks:
    """Each dependency by name, with a check that raises if it is unavailable."""

    checks: Mapping[str, Check]


class NotReady(Unavailable):
    """A dependency of every request does not answer. The problem has one member per dependency."""

    slug, title = "not-ready", "A dependency is unavailable"


@router.get("/livez", response_class=PlainTextResponse)
async def is_alive() -> str:
    """Answers while the event loop runs. Checks no dependency, because a restart would not repair one."""
    return "ok\n"


READY: Responses = {
    200: {"content": {"application/json": {"example": {"database": "ok", "storage": "ok", "queue": "ok"}}}}
}


@router.get("/readyz", responses={**READY, **problems(NotReady)})
async def is_ready(request: Request) -> dict[str, State]:
    """Whether requests can be served: `ok`, `slow` or `away` for each dependency."""
    health = web_part(request, HealthChecks)
    states = await asyncio.gather(*(_state(name, check) for name, check in health.checks.items()))
    report = dict(zip(health.checks, states, strict=True))
    if any(state != "ok" for state in states):
        raise NotReady(extra=report)
    return report


async def _state(name: str, check: Check) -> State:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except TimeoutError:
        log.warning("dependency slow", dependency=name, seconds=CHECK_SECONDS)
        return "slow"
    except Exception as error:
        log.warning("dependency unavailable", dependency=name, error=error)
        return "away"
    return "ok"


@router.get("/metrics", response_class=Response, responses={200: {"content": {MEDIA_TYPE: {}}}, **problems(NotFound)})
async def metrics(request: Request) -> Response:
    """Metrics in the Prometheus text format, for clients in `IMAGESVC_METRICS_NETWORKS` (by default, this machine).

    Other clients get 404, because the counts show what was uploaded.
    """
    settings = web_part(request, Settings)
    if not _is_among(settings.metrics_networks, request):
        raise NotFound
    page = web_part(request, MetricsPage)
    return Response(await page.text(), media_type=MEDIA_TYPE)


def _is_among(networks: Iterable[IPv4Network | IPv6Network], request: Request) -> bool:
    try:
        address = ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in networks)
