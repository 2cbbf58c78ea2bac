"""The background process: runs tasks from arq and from the fair queue, and periodic work. `imagesvc worker` runs it."""

import asyncio
import contextlib
import json
import signal
from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog
import uvloop
from arq.worker import Worker, func

from imagesvc import observability
from imagesvc.errors import ImagesvcError
from imagesvc.metrics.endpoint import serve_metrics
from imagesvc.metrics.instruments import BACKGROUND_ITEMS, BACKGROUND_ROUNDS
from imagesvc.settings import Settings
from imagesvc.storage.loose_objects import require_tombstones_to_outlast_requests
from imagesvc.tasks.queue import RUN_TASK, encode, redis_settings
from imagesvc.tasks.runner import Runner
from imagesvc.wiring import Background, open_background

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.05
"""arq's default of 0.5 s would delay each image by a quarter of a second on average."""
FOLD_SECONDS = 1.0
EXPIRY_SECONDS = 60.0
RECONNECT_SECONDS = 1.0
MAX_TASK_SECONDS = 900


async def run_task(ctx: dict[str, Runner], *args: str, **_kwargs: object) -> None:
    """The function that arq calls. Its one argument is the id of the task."""
    await ctx["runner"].run(UUID(args[0]))


async def work(parts: Background) -> None:
    """Run everything that a worker does until cancelled. Running attempts are given back then."""
    settings = parts.servers.settings
    loops = [
        asyncio.create_task(_run_arq(settings, parts.runner)),
        asyncio.create_task(parts.fair_queue.run()),
        asyncio.create_task(_repeat("Turns.recover", parts.fair_queue.recover, seconds=settings.sweep_seconds)),
        asyncio.create_task(_repeat("Queue.sweep", parts.servers.queue.sweep, seconds=settings.sweep_seconds)),
        asyncio.create_task(_repeat("Expiry.expire", parts.expiry.expire, seconds=settings.reap_seconds)),
        asyncio.create_task(_repeat("ResizeExpiry.expire", parts.resize_expiry.expire, seconds=settings.reap_seconds)),
        asyncio.create_task(_repeat("Reprocessings.plan", parts.reprocessings.plan, seconds=settings.sweep_seconds)),
        asyncio.create_task(
            _repeat("TimeZoneWalks.advance", parts.time_zone_walks.advance, seconds=settings.sweep_seconds)
        ),
        asyncio.create_task(_repeat("Statistics.fold", parts.stats.fold, seconds=FOLD_SECONDS)),
        asyncio.create_task(_repeat("IdempotencyKeys.forget", parts.idempotency.expire, seconds=EXPIRY_SECONDS)),
        asyncio.create_task(_repeat("Webhooks.forget", parts.webhooks.forget, seconds=EXPIRY_SECONDS)),
    ]
    if settings.reaper_paused:
        log.warning("reaper paused")
    else:
        loops.append(asyncio.create_task(_repeat("Reaper.reap", parts.reaper.reap, seconds=settings.reap_seconds)))
    try:
        await asyncio.gather(*loops)
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


async def run(settings: Settings, on_ready: Callable[[], None]) -> None:
    """Work until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_background(settings) as parts, contextlib.AsyncExitStack() as stack:
        if settings.worker_metrics_port is not None:
            port, host = settings.worker_metrics_port, settings.worker_metrics_host
            await stack.enter_async_context(serve_metrics(parts.metrics, host=host, port=port))
        await stack.enter_async_context(parts.metrics.published())
        working = asyncio.create_task(work(parts))
        log.info("worker ready", concurrency=settings.worker_concurrency)
        on_ready()
        await stop.wait()
        log.info("worker stopping")
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def _run_arq(settings: Settings, runner: Runner) -> None:
    """Run arq's worker, and start a new one after Valkey was unavailable."""
    while True:
        worker = Worker(
            [func(run_task, name=RUN_TASK, keep_result=0, max_tries=1, timeout=MAX_TASK_SECONDS)],
            redis_settings=redis_settings(settings),
            handle_signals=False,
            max_jobs=settings.worker_concurrency,
            poll_delay=POLL_SECONDS,
            max_tries=1,
            retry_jobs=False,
            keep_result=0,
            health_check_interval=10,
            log_results=False,
            job_serializer=encode,
            job_deserializer=json.loads,
            ctx={"runner": runner},
        )
        try:
            await worker.async_run()
        except asyncio.CancelledError:
            await _close(worker)
            raise
        except Exception as error:
            log.warning("queue unavailable", error=type(error).__name__)
            await _close(worker)
        await asyncio.sleep(RECONNECT_SECONDS)


async def _close(worker: Worker) -> None:
    """Cancel the running tasks and wait for them: each gives its attempt back."""
    for task in worker.tasks.values():
        task.cancel()
    await asyncio.gather(*worker.tasks.values(), return_exceptions=True)
    with contextlib.suppress(Exception):
        await worker.close()


async def _repeat(name: str, work: Callable[[], Awaitable[int]], *, seconds: float) -> None:
    """Run ``work`` periodically: again at once while it returns 100 or more, otherwise after ``seconds``.

    ``name`` is the value of the metric label ``work``, which dashboards and alerts use. Do not rename it.
    """
    while True:
        result = "ok"
        try:
            while (done := await work()) >= 100:
                BACKGROUND_ITEMS.labels(name).inc(done)
            BACKGROUND_ITEMS.labels(name).inc(done)
        except ImagesvcError as error:
            result = "put-off"
            log.warning("background work postponed", work=name, problem=error.slug)
        except Exception:
            result = "failed"
            log.exception("background work failed", work=name)
        BACKGROUND_ROUNDS.labels(name, result).inc()
        await asyncio.sleep(seconds)


def main(settings: Settings, *, on_ready: Callable[[], None] = lambda: None) -> None:
    """Run a worker until SIGTERM or SIGINT. Raises ValueError for a tombstone time that is too short."""
    observability.configure(settings.log_level, settings.secrets())
    require_tombstones_to_outlast_requests(settings)
    uvloop.run(run(settings, on_ready))
