"""The way of a task to a worker: arq wakes one, and the sweep sends again whatever is due and was lost on the way."""

import asyncio
import datetime as dt
import json
import time
from typing import Any, Self
from uuid import UUID

import structlog
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.constants import default_queue_name, expires_extra_ms, health_check_key_suffix, job_key_prefix
from arq.jobs import serialize_job
from redis.exceptions import RedisError
from sqlalchemy import text

from imagesvc.db import Database
from imagesvc.settings import Settings

log = structlog.get_logger(__name__)

RUN_TASK = "run_task"
SENT_AGAIN_EVERY_SECONDS = 30
"""How long the sweep waits before it sends the same attempt under another id: arq refuses an id that it still knows."""
QUEUE_IS_LONG = 500
"""With so many waiting, what is due is most likely among them: the sweep leaves it alone."""
SWEEP_MOST = 500
GATHER_SECONDS = 0.003
"""How long the wakes of a moment are gathered."""
REST_SECONDS = 0.05
"""The pause between two sendings of wakes, as long as a worker's between two looks: who comes first waits for none."""

# grace: what was committed just now is on its way by the process that committed it
DUE = text("""
    SELECT id, attempts, floor(extract(epoch FROM now() - since) / :again_every)::int AS round FROM (
        SELECT id, attempts, due_at AS since FROM tasks
        WHERE state = 'pending' AND turn_of IS NULL AND due_at < now() - make_interval(secs => :grace)
        UNION ALL
        SELECT id, attempts, lease_until AS since FROM tasks
        WHERE state = 'running' AND turn_of IS NULL AND lease_until < now()
    ) AS due ORDER BY since LIMIT :most
""")


def encode(job: dict[str, Any]) -> bytes:
    return json.dumps(job).encode()


def redis_settings(settings: Settings) -> RedisSettings:
    found = RedisSettings.from_dsn(settings.redis_url.get_secret_value())
    found.conn_timeout, found.conn_retries, found.conn_retry_delay = 3, 1, 1
    return found


class Queue:
    """arq's side of the tasks. Losing it, or all that it holds, costs seconds: the rows are in PostgreSQL."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self.redis: ArqRedis | None = None
        self._connecting = asyncio.Lock()
        self._fresh: list[str] = []
        self._flushing: asyncio.Task[None] | None = None

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

    async def wake(self, task_id: UUID, *, attempts: int = 0, again: int = 0, is_urgent: bool = False) -> bool:
        """Tell a worker about a committed task; an urgent one, that somebody waits for, goes before all others.

        False when Valkey is away: the sweep does it later.
        """
        suffix = f".{again}" if again else ""
        # arq takes jobs by the time they are due: what was due an hour ago comes first
        due = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1) if is_urgent else None
        try:
            redis = await self._pool()
            job_id = f"{task_id}:{attempts}{suffix}"
            await redis.enqueue_job(RUN_TASK, str(task_id), _job_id=job_id, _defer_until=due)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("queue away", error=type(error).__name__)
            return False
        return True

    def wake_soon(self, task_id: UUID) -> None:
        """Tell a worker about a task that was committed just now, together with others of the same moment.

        arq's own way costs two round trips and 0.4 ms of CPU a task; nobody else can know this task's id, so there is
        nothing to look for before it is written.
        """
        self._fresh.append(str(task_id))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        while self._fresh:
            await asyncio.sleep(GATHER_SECONDS)
            task_ids, self._fresh = self._fresh, []
            try:
                redis = await self._pool()
                pipeline, now = redis.pipeline(transaction=False), int(time.time() * 1000)
                for task_id in task_ids:
                    job = serialize_job(RUN_TASK, (task_id,), {}, None, now, serializer=encode)
                    pipeline.psetex(f"{job_key_prefix}{task_id}:0", expires_extra_ms, job)
                pipeline.zadd(redis.default_queue_name, {f"{task_id}:0": now for task_id in task_ids})
                await pipeline.execute()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("queue away", error=type(error).__name__)
            await asyncio.sleep(REST_SECONDS)

    async def flush(self) -> None:
        """Wait until the wakes asked for are out: for an orderly stop."""
        if self._flushing is not None:
            await self._flushing

    async def sweep(self) -> int:
        """Send what is due and was not taken up: after a lost wake, a delay, a killed worker. Returns how many."""
        grace = min(self._settings.sweep_seconds, 2.0)
        async with self._database.engine.connect() as connection:
            due = (
                await connection.execute(
                    DUE, {"grace": grace, "again_every": SENT_AGAIN_EVERY_SECONDS, "most": SWEEP_MOST}
                )
            ).all()
        if not due or await self.length() > QUEUE_IS_LONG:
            return 0
        for task in due:
            if not await self.wake(task.id, attempts=task.attempts, again=task.round):
                return 0
        return len(due)

    async def length(self) -> int:
        try:
            redis = await self._pool()
            return int(await redis.zcard(redis.default_queue_name))
        except (RedisError, OSError, TimeoutError):
            return 0

    async def has_worker(self) -> bool:
        """Whether any worker has told Valkey within 11 seconds that it lives. Raises when Valkey is away."""
        async with asyncio.timeout(3):
            return bool(await (await self._pool()).exists(default_queue_name + health_check_key_suffix))

    async def ping(self) -> None:
        """Raises when Valkey is away."""
        async with asyncio.timeout(3):
            await (await self._pool()).ping()
