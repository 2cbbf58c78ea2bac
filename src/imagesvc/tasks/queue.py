"""Wakes workers through arq. The sweep sends again what is due but was lost in Valkey.

Uses SQLAlchemy for its one statement: the sweep runs every few seconds.
"""

import asyncio
import datetime as dt
import json
import time
from collections.abc import Mapping, Sequence
from typing import Self
from uuid import UUID

import structlog
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.constants import (
    default_queue_name,
    expires_extra_ms,
    health_check_key_suffix,
    in_progress_key_prefix,
    job_key_prefix,
)
from arq.jobs import serialize_job
from redis.exceptions import RedisError
from sqlalchemy import text

from imagesvc.db import Database
from imagesvc.settings import Settings

log = structlog.get_logger(__name__)

RUN_TASK = "run_task"
RESEND_SECONDS = 30
"""The sweep sends a job under another id if it is marked as running for this time and its task was not claimed.

A worker that is killed after it took a job and before it claimed the task leaves such a mark, and arq does not start a
job with a mark.
"""
LONG_QUEUE = 500
"""A queue longer than this most likely contains everything that is due: the sweep does nothing."""
MAX_SWEPT = 500
BATCH_SECONDS = 0.003
"""``wake_soon`` collects wakes for this long and sends them together."""
BATCH_PAUSE_SECONDS = 0.05
"""Pause between two batches of wakes. It equals the poll interval of a worker, so it delays no task much."""

# :grace leaves out tasks whose own process is just about to wake a worker for them
DUE = text("""
    SELECT id, attempts, floor(extract(epoch FROM now() - since) / :resend_seconds)::int AS round FROM (
        SELECT id, attempts, due_at AS since FROM tasks
        WHERE state = 'pending' AND turn_of IS NULL AND due_at < now() - make_interval(secs => :grace)
        UNION ALL
        SELECT id, attempts, lease_until AS since FROM tasks
        WHERE state = 'running' AND turn_of IS NULL AND lease_until < now()
    ) AS due ORDER BY since LIMIT :max
""")


def encode(job: dict[str, object]) -> bytes:
    """arq's job serializer: JSON instead of pickle."""
    return json.dumps(job).encode()


def redis_settings(settings: Settings) -> RedisSettings:
    redis = RedisSettings.from_dsn(settings.redis_url.get_secret_value())
    redis.conn_timeout, redis.conn_retries, redis.conn_retry_delay = 3, 1, 1
    return redis


class Queue:
    """The arq queue in Valkey. Losing it with all its content delays tasks by seconds: their rows are in PostgreSQL."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self.redis: ArqRedis | None = None
        self._connecting = asyncio.Lock()
        self._batch: list[str] = []
        self._sending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self.redis is not None:
            await self.redis.aclose(close_connection_pool=True)

    async def _pool(self) -> ArqRedis:
        if self.redis is None:
            async with self._connecting:
                if self.redis is None:
                    self.redis = await create_pool(redis_settings(self._settings), job_serializer=encode)
        return self.redis

    async def wake(self, task_id: UUID, *, is_urgent: bool = False) -> bool:
        """Have a worker run a committed task. An urgent task, which a request waits for, is ahead of all others.

        Returns False when Valkey is unavailable; the sweep sends the task later.
        """
        # arq orders jobs by the time they are due: a job that was due an hour ago is first
        due = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1) if is_urgent else None
        try:
            redis = await self._pool()
            await redis.enqueue_job(RUN_TASK, str(task_id), _job_id=f"{task_id}:0", _defer_until=due)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("queue unavailable", error=type(error).__name__)
            return False
        return True

    def wake_soon(self, task_id: UUID) -> None:
        """Have a worker run a new committed task. Wakes of the same few milliseconds are sent as one batch.

        ``enqueue_job`` costs two round trips and 0.4 ms of CPU per task because it first looks whether the job id
        exists. The id of a new task is known to this process only, so this method writes without looking.
        """
        self._batch.append(str(task_id))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_batches())

    async def _send_batches(self) -> None:
        while self._batch:
            await asyncio.sleep(BATCH_SECONDS)
            task_ids, self._batch = self._batch, []
            try:
                await self._send({f"{task_id}:0": task_id for task_id in task_ids})
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("queue unavailable", error=type(error).__name__)
            await asyncio.sleep(BATCH_PAUSE_SECONDS)

    async def _send(self, jobs: Mapping[str, str]) -> None:
        """Queue jobs, task ids by job id, in one round trip. A job that is already queued keeps its place."""
        redis = await self._pool()
        pipeline, now = redis.pipeline(transaction=False), int(time.time() * 1000)
        for job_id, task_id in jobs.items():
            job = serialize_job(RUN_TASK, (task_id,), {}, None, now, serializer=encode)
            pipeline.psetex(f"{job_key_prefix}{job_id}", expires_extra_ms, job)
        pipeline.zadd(redis.default_queue_name, dict.fromkeys(jobs, now), nx=True)
        await pipeline.execute()

    async def flush(self) -> None:
        """Wait until all requested wakes are sent. Called during an orderly shutdown."""
        if self._sending is not None:
            await self._sending

    async def sweep(self) -> int:
        """Send what is due, not claimed and not queued: a lost wake, a retry, a killed worker. Returns how many.

        Two round trips to Valkey, however many tasks wait in the queue.
        """
        if await self.length() > LONG_QUEUE:
            return 0
        grace = min(self._settings.sweep_seconds, 2.0)
        async with self._database.engine.connect() as connection:
            due = (
                await connection.execute(DUE, {"grace": grace, "resend_seconds": RESEND_SECONDS, "max": MAX_SWEPT})
            ).all()
        if not due:
            return 0
        try:
            missing = await self._not_queued([(str(task.id), f"{task.id}:{task.attempts}", task.round) for task in due])
            if missing:
                await self._send(missing)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("queue unavailable", error=type(error).__name__)
            return 0
        return len(missing)

    async def _not_queued(self, due: Sequence[tuple[str, str, int]]) -> dict[str, str]:
        """Of (task id, job id, round), the jobs that no worker will start otherwise: task ids by job id."""
        redis = await self._pool()
        pipeline = redis.pipeline(transaction=False)
        pipeline.zmscore(redis.default_queue_name, [job_id for _, job_id, _ in due])
        late = [job_id for _, job_id, round_number in due if round_number]
        for job_id in late:
            pipeline.exists(f"{in_progress_key_prefix}{job_id}")
        scores, *marks = await pipeline.execute()
        marked = {job_id for job_id, mark in zip(late, marks, strict=True) if mark}
        missing = {job_id: task_id for (task_id, job_id, _), score in zip(due, scores, strict=True) if score is None}
        stuck = {f"{job_id}.{number}": task_id for task_id, job_id, number in due if job_id in marked}
        return missing | stuck

    async def length(self) -> int:
        """The number of queued jobs, 0 when Valkey is unavailable."""
        try:
            redis = await self._pool()
            return int(await redis.zcard(redis.default_queue_name))
        except (RedisError, OSError, TimeoutError):
            return 0

    async def has_worker(self) -> bool:
        """Whether any worker reported to Valkey within the last 11 seconds. Raises when Valkey is unavailable."""
        async with asyncio.timeout(3):
            return bool(await (await self._pool()).exists(default_queue_name + health_check_key_suffix))

    async def ping(self) -> None:
        """Raises when Valkey is unavailable."""
        async with asyncio.timeout(3):
            await (await self._pool()).ping()
