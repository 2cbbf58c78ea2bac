"""The way of a task to a worker: arq wakes one, and the sweep sends again whatever is due and was lost on the way."""

import asyncio
import contextlib
import json
from collections.abc import Iterable
from typing import Any, Self
from uuid import UUID

import structlog
from arq.connections import ArqRedis, RedisSettings, create_pool
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

# grace: what was committed just now is on its way by the process that committed it
DUE = text("""
    SELECT id, attempts, floor(extract(epoch FROM now() - since) / :again_every)::int AS round FROM (
        SELECT id, attempts, due_at AS since FROM tasks
        WHERE state = 'pending' AND due_at < now() - make_interval(secs => :grace)
        UNION ALL
        SELECT id, attempts, lease_until AS since FROM tasks WHERE state = 'running' AND lease_until < now()
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
        self._stack = contextlib.AsyncExitStack()
        self.redis: ArqRedis | None = None
        self._connecting = asyncio.Lock()

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

    async def wake(self, task_id: UUID, *, attempts: int = 0, again: int = 0) -> bool:
        """Tell a worker about a committed task. False when Valkey is away: the sweep does it later."""
        suffix = f".{again}" if again else ""
        try:
            redis = await self._pool()
            await redis.enqueue_job(RUN_TASK, str(task_id), _job_id=f"{task_id}:{attempts}{suffix}")
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("queue away", error=type(error).__name__)
            return False
        return True

    async def wake_all(self, task_ids: Iterable[UUID]) -> None:
        for task_id in task_ids:
            await self.wake(task_id)

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

    async def ping(self) -> None:
        """Raises when Valkey is away."""
        async with asyncio.timeout(3):
            await (await self._pool()).ping()
