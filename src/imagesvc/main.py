"""The web process: one FastAPI application. `imagesvc serve` runs it."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

import imagesvc.accounts.router
import imagesvc.images.router
import imagesvc.images.search.router
import imagesvc.images.shares.router
import imagesvc.images.similar.router
import imagesvc.jobs.report.router
import imagesvc.jobs.router
import imagesvc.links.router
import imagesvc.operations.router
import imagesvc.resizes.router
import imagesvc.stats.router
import imagesvc.stores.router
import imagesvc.uploads.batches.router
import imagesvc.uploads.check.router
import imagesvc.uploads.router
import imagesvc.uploads.tus.router
import imagesvc.web.assets
import imagesvc.web.dashboard.images
import imagesvc.web.dashboard.links
import imagesvc.web.dashboard.operations
import imagesvc.web.dashboard.router
import imagesvc.web.dashboard.visits
import imagesvc.web.upload_page.router
import imagesvc.webhooks.router
from imagesvc import observability
from imagesvc.http import docs, graceful_shutdown, health, problems, request_context
from imagesvc.http.fast_routes import serve_fast
from imagesvc.http.health import HealthChecks
from imagesvc.http.web_parts import WebParts, set_parts
from imagesvc.settings import Settings
from imagesvc.uploads.limits import limits_table
from imagesvc.uploads.tus import headers as tus_headers
from imagesvc.wiring import Web, checks_of, open_web

EXPOSED_HEADERS = ("ETag", "Link", "Repr-Digest", "Retry-After", "X-Request-Id")
"""Response headers that pages of other origins may read, besides those of resumable uploads."""

ROUTERS = (
    # FastAPI uses the first route that matches: specific paths are before paths with parameters, and pages for browsers
    # before answers in JSON
    imagesvc.web.upload_page.router.browser_router,
    imagesvc.web.upload_page.router.router,
    imagesvc.web.assets.router,
    imagesvc.web.dashboard.router.router,
    imagesvc.web.dashboard.images.router,
    imagesvc.web.dashboard.links.router,
    imagesvc.web.dashboard.visits.router,
    imagesvc.web.dashboard.operations.router,
    imagesvc.accounts.router.router,
    imagesvc.images.shares.router.router,
    imagesvc.images.router.router,
    imagesvc.images.search.router.router,
    imagesvc.images.similar.router.router,
    imagesvc.links.router.router,
    imagesvc.resizes.router.router,
    imagesvc.stats.router.router,
    imagesvc.operations.router.router,
    imagesvc.uploads.check.router.router,
    imagesvc.uploads.batches.router.router,
    imagesvc.uploads.tus.router.user_router,
    imagesvc.uploads.tus.router.link_router,
    imagesvc.uploads.router.router,
    imagesvc.stores.router.router,
    imagesvc.webhooks.router.router,
    imagesvc.jobs.router.router,
    imagesvc.jobs.report.router.router,
    health.router,
)

DESCRIPTION = """\
Accepts images from phones, tills, shelf cameras and people with an invitation link, stores each distinct file once,
extracts its metadata, makes renditions, and keeps statistics.

All routes under `/v1` need `Authorization: Bearer <token>`. Failures are `application/problem+json` (RFC 9457).
"""


def parts_of(web: Web) -> WebParts:
    """All parts that a route may request."""
    services = [getattr(web, field.name) for field in dataclasses.fields(web) if field.name != "servers"]
    return WebParts(web.servers.settings, web.servers.storage, HealthChecks(checks_of(web.servers)), *services)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application. ``settings`` are read from the environment when absent."""
    settings = settings or Settings()
    observability.configure(settings.log_level, settings.secrets())

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_web(settings) as web:
            set_parts(app, parts_of(web))
            async with web.metrics.published():
                yield

    app = FastAPI(
        title="imagesvc",
        version="0.1.0",
        description=f"{DESCRIPTION}\n{limits_table(settings)}",
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        servers=[{"url": settings.path_prefix}] if settings.path_prefix else None,
        # telemetry would send raw paths, which contain the tokens of links, to the endpoint that the environment names
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    # without `include_router`, which builds each route again: 45 ms per start, and one more call per request
    for router in ROUTERS:
        app.router.routes.extend(router.routes)
    problems.register(app)
    docs.register(app)
    serve_fast(app, imagesvc.uploads.router.upload_raw_through_link, imagesvc.uploads.router.upload_through_link)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=[*EXPOSED_HEADERS, *tus_headers.EXPOSED],
        )
    graceful_shutdown.register(app)
    request_context.register(app, max_body_bytes=settings.max_json_bytes, path_prefix=settings.path_prefix)
    return app
