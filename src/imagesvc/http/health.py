"""``/livez``: the event loop turns. ``/readyz``: what we depend on answers. ``/metrics``: for Prometheus.

Neither tells a stranger more than "ok", "slow" or "away"; why is in the log. Even so the reverse proxy keeps the last
two to itself (deploy/).
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
    """Each dependency by name, with a check that raises when it is away."""

    checks: Mapping[str, Check]


class NotReady(Unavailable):
    """Something that every request needs does not answer; which is a member of the problem beside the others."""

    slug, title = "not-ready", "A dependency is away"


@router.get("/livez", response_class=PlainTextResponse)
async def is_alive() -> str:
    """Answers as long as the process is worth keeping. Asks nobody else: a restart would not bring a database back."""
    return "ok\n"


READY: Responses = {
    200: {"content": {"application/json": {"example": {"database": "ok", "storage": "ok", "queue": "ok"}}}}
}


@router.get("/readyz", responses={**READY, **problems(NotReady)})
async def is_ready(request: Request) -> dict[str, State]:
    """Whether requests can be served: each dependency by name, `ok`, `slow` or `away`."""
    health = web_part(request, HealthChecks)
    states = await asyncio.gather(*(_state(name, check) for name, check in health.checks.items()))
    found = dict(zip(health.checks, states, strict=True))
    if any(state != "ok" for state in states):
        raise NotReady(extra=found)
    return found


async def _state(name: str, check: Check) -> State:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except TimeoutError:
        log.warning("dependency is slow", dependency=name, seconds=CHECK_SECONDS)
        return "slow"
    except Exception as error:
        log.warning("dependency is away", dependency=name, error=error)
        return "away"
    return "ok"


@router.get("/metrics", response_class=Response, responses={200: {"content": {MEDIA_TYPE: {}}}, **problems(NotFound)})
async def metrics(request: Request) -> Response:
    """The service in numbers, in the Prometheus text format; to `IMAGESVC_METRICS_NETWORKS` only, this machine by
    default. For others there is nothing here: the counts would tell strangers what came in."""
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
