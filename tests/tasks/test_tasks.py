"""Leases, retries, dead letters and the sweep: invariants 8 and 9 of the design."""

import asyncio
import dataclasses
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import pytest
from arq.connections import create_pool
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.db import Database
from imagesvc.db_connections import DatabaseAway
from imagesvc.settings import Settings
from imagesvc.tasks import leases
from imagesvc.tasks.leases import Lease
from imagesvc.tasks.queue import Queue, redis_settings
from imagesvc.tasks.runner import Kind, OnExhausted, RetryTask, Runner, do_nothing

TASK_ROW = """
    SELECT state, attempts, created_at, lease_until, last_error, due_at > now() AS is_later FROM tasks WHERE id = $1
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    state: str
    attempts: int
    created_at: dt.datetime
    lease_until: dt.datetime | None
    last_error: str | None
    is_later: bool


@dataclasses.dataclass(kw_only=True)
class TaskBench:
    """A database, and runners for one kind of task whose handler the test supplies."""

    settings: Settings
    database: Database
    calls: list[int]

    async def add(self) -> UUID:
        task = leases.new_task(kind="work")
        async with self.database.sessions.begin() as session:
            session.add(task)
        return task.id

    async def row(self, task_id: UUID) -> TaskRow:
        return await self.database.fetch_one(TASK_ROW, TaskRow, task_id)

    async def exists(self, task_id: UUID) -> bool:
        return await self.database.fetch_row("SELECT FROM tasks WHERE id = $1", task_id) is not None

    async def change(self, task_id: UUID, change: str) -> None:
        async with self.database.sessions.begin() as session:
            await session.execute(text(f"UPDATE tasks SET {change} WHERE id = :id"), {"id": task_id})

    def runner(
        self,
        work: Callable[[Lease], Awaitable[None]] | None = None,
        *,
        on_exhausted: OnExhausted = do_nothing,
        max_attempts: int = 5,
    ) -> Runner:
        """A runner that calls ``work`` and then completes the task."""

        async def handler(lease: Lease) -> None:
            self.calls.append(lease.attempt)
            if work is not None:
                await work(lease)
            async with self.database.sessions.begin() as session:
                await leases.finish(session, lease)

        kind = Kind(handler=handler, on_exhausted=on_exhausted, max_attempts=max_attempts)
        return Runner(self.settings, self.database, {"work": kind})


@pytest.fixture
async def bench(settings_with: Callable[..., Settings]) -> AsyncIterator[TaskBench]:
    settings = settings_with(task_lease_seconds=1.5, task_retry_seconds=60)
    database = Database(settings)
    yield TaskBench(settings=settings, database=database, calls=[])
    await database.close()


async def fails(lease: Lease) -> None:
    raise RetryTask("bad-weather")


async def test_a_completed_task_has_no_row(bench: TaskBench) -> None:
    task_id = await bench.add()

    assert await bench.runner().run(task_id)

    assert not await bench.exists(task_id)
    assert bench.calls == [1]


async def test_many_workers_run_one_task_once(bench: TaskBench) -> None:
    task_id = await bench.add()

    done = await asyncio.gather(*(bench.runner().run(task_id) for _ in range(8)))

    assert done.count(True) == 1
    assert bench.calls == [1]


async def test_a_failed_attempt_is_retried_later(bench: TaskBench) -> None:
    task_id = await bench.add()

    await bench.runner(fails).run(task_id)

    row = await bench.row(task_id)
    assert (row.state, row.attempts, row.last_error, row.is_later) == ("pending", 1, "bad-weather", True)
    assert not await bench.runner().run(task_id)


async def test_the_last_failure_makes_a_dead_letter_and_calls_on_exhausted(bench: TaskBench) -> None:
    task_id, exhausted = await bench.add(), []

    async def on_exhausted(session: AsyncSession, lease: Lease, error: RetryTask) -> None:
        exhausted.append((lease.attempt, error.reason))

    runner = bench.runner(fails, max_attempts=2, on_exhausted=on_exhausted)
    await runner.run(task_id)
    await bench.change(task_id, "due_at = now()")
    await runner.run(task_id)

    row = await bench.row(task_id)
    assert (row.state, row.attempts, row.last_error) == ("dead", 2, "bad-weather")
    assert exhausted == [(2, "bad-weather")]


async def test_a_task_that_kills_its_workers_becomes_a_dead_letter(bench: TaskBench) -> None:
    task_id = await bench.add()
    await bench.change(task_id, "attempts = 5, state = 'running', lease_token = id, lease_until = now()")

    await bench.runner(max_attempts=5).run(task_id)

    assert (await bench.row(task_id)).last_error == "worker-died"
    assert bench.calls == []


async def test_a_worker_whose_expired_lease_was_claimed_again_writes_nothing(bench: TaskBench) -> None:
    task_id = await bench.add()

    async def lose_lease(lease: Lease) -> None:
        await bench.change(task_id, "lease_until = now() - interval '1 second'")
        assert await bench.runner().run(task_id)

    assert not await bench.runner(lose_lease).run(task_id)

    assert bench.calls == [1, 2]
    assert not await bench.exists(task_id)


async def test_the_lease_of_a_long_task_is_renewed(bench: TaskBench) -> None:
    task_id = await bench.add()
    first = (await bench.row(task_id)).created_at

    async def lease_end() -> dt.datetime:
        end = (await bench.row(task_id)).lease_until
        assert end is not None
        return end

    async def until_renewed_twice(lease: Lease) -> None:
        began = await lease_end()
        async with asyncio.timeout(20):
            while (await lease_end() - began).total_seconds() < 0.8:
                await asyncio.sleep(0.05)

    assert await bench.runner(until_renewed_twice).run(task_id)
    assert first


async def test_a_stopping_worker_gives_its_attempt_back(bench: TaskBench) -> None:
    task_id, handling = await bench.add(), asyncio.Event()

    async def never_ends(lease: Lease) -> None:
        handling.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(bench.runner(never_ends).run(task_id))
    await handling.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    row = await bench.row(task_id)
    assert (row.state, row.attempts, row.is_later) == ("pending", 0, False)


async def test_a_stopping_worker_stops_even_when_its_claim_fails(bench: TaskBench) -> None:
    claiming, fail = asyncio.Event(), asyncio.Event()

    async def claim() -> None:
        claiming.set()
        await fail.wait()
        raise DatabaseAway

    stopping = asyncio.create_task(bench.runner().claim(claim()))
    await claiming.wait()
    stopping.cancel()
    asyncio.get_running_loop().call_soon(fail.set)

    with pytest.raises(asyncio.CancelledError):
        await stopping


async def test_a_stopping_worker_stops_even_when_it_cannot_give_its_attempt_back(bench: TaskBench) -> None:
    task_id, handling = await bench.add(), asyncio.Event()

    async def never_ends(lease: Lease) -> None:
        handling.set()
        await asyncio.Event().wait()

    stopping = asyncio.create_task(bench.runner(never_ends).run(task_id))
    await handling.wait()
    async with bench.database.sessions.begin() as session:
        await session.execute(text("ALTER TABLE tasks RENAME TO tasks_elsewhere"))
    stopping.cancel()

    with pytest.raises(asyncio.CancelledError):
        await stopping


async def test_the_sweep_sends_due_tasks_and_no_others(bench: TaskBench) -> None:
    lost, expired, later, fresh = [await bench.add() for _ in range(4)]
    await bench.change(lost, "due_at = now() - interval '5 seconds'")
    await bench.change(expired, "attempts = 1, state = 'running', lease_token = id, lease_until = now()")
    await bench.change(later, "due_at = now() + interval '1 hour'")
    assert fresh

    async with Queue(bench.settings, bench.database) as queue:
        sent = await queue.sweep()

    assert sent == 2
    assert await jobs_in(bench) == {f"{lost}:0", f"{expired}:1"}


async def jobs_in(bench: TaskBench) -> set[str]:
    pool = await create_pool(redis_settings(bench.settings))
    jobs = {name.decode() for name in await pool.zrange(pool.default_queue_name, 0, -1)}
    await pool.aclose()
    return jobs


async def test_the_sweep_does_not_send_tasks_that_wait_in_the_queue(bench: TaskBench) -> None:
    tasks = [await bench.add() for _ in range(20)]
    for task_id in tasks:
        await bench.change(task_id, "due_at = now() - interval '95 seconds'")

    async with Queue(bench.settings, bench.database) as queue:
        first, again = await queue.sweep(), await queue.sweep()
        await bench.change(tasks[0], "attempts = 1")
        after_an_attempt = await queue.sweep()

    assert (first, again, after_an_attempt) == (20, 0, 1)
    assert await jobs_in(bench) == {f"{task_id}:0" for task_id in tasks} | {f"{tasks[0]}:1"}


async def test_a_task_whose_job_was_lost_in_a_killed_worker_is_sent_under_another_id(bench: TaskBench) -> None:
    """A worker that is killed before it claims the task leaves a mark, and arq starts no job with a mark."""
    task_id = await bench.add()
    await bench.change(task_id, "due_at = now() - interval '95 seconds'")
    pool = await create_pool(redis_settings(bench.settings))

    async with Queue(bench.settings, bench.database) as queue:
        await queue.wake(task_id)
        waiting = await queue.sweep()
        await pool.set(f"arq:in-progress:{task_id}:0", b"1")
        marked = await queue.sweep()
    await pool.aclose()

    assert (waiting, marked) == (0, 1)
    assert await jobs_in(bench) == {f"{task_id}:0", f"{task_id}:0.3"}


async def test_wakes_of_the_same_moment_reach_the_queue_as_one_batch(bench: TaskBench) -> None:
    tasks = [await bench.add() for _ in range(3)]

    async with Queue(bench.settings, bench.database) as queue:
        for task_id in tasks:
            queue.wake_soon(task_id)
        await queue.flush()
        length = await queue.length()

    assert length == 3


async def test_without_valkey_a_wake_only_logs_a_warning(bench: TaskBench) -> None:
    task_id = await bench.add()
    unreachable = bench.settings.model_copy(update={"redis_url": type(bench.settings.redis_url)("redis://127.0.0.1:1")})

    async with Queue(unreachable, bench.database) as queue:
        assert not await queue.wake(task_id)
        queue.wake_soon(task_id)
        await queue.flush()
        assert await queue.length() == 0
