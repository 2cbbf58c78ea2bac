"""Tasks: leases, retries, dead letters, the sweep. Invariants 8 and 9."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from arq.connections import create_pool
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.db import Database, DatabaseAway
from imagesvc.settings import Settings
from imagesvc.tasks import leases
from imagesvc.tasks.leases import Lease
from imagesvc.tasks.queue import Queue, redis_settings
from imagesvc.tasks.runner import Kind, RetryTask, Runner


@dataclasses.dataclass(kw_only=True)
class Bench:
    """A database with a runner whose one kind of task does what the test says."""

    settings: Settings
    database: Database
    calls: list[int]

    async def add(self) -> UUID:
        task = leases.new_task(kind="work")
        async with self.database.sessions.begin() as session:
            session.add(task)
        return task.id

    async def row(self, task_id: UUID) -> Any:
        async with self.database.engine.connect() as connection:
            query = text("SELECT *, due_at > now() AS is_later FROM tasks WHERE id = :id")
            return (await connection.execute(query, {"id": task_id})).one_or_none()

    async def change(self, task_id: UUID, change: str) -> None:
        async with self.database.sessions.begin() as session:
            await session.execute(text(f"UPDATE tasks SET {change} WHERE id = :id"), {"id": task_id})

    def runner(self, work: Callable[[Lease], Awaitable[None]] | None = None, **policy: Any) -> Runner:
        async def handler(lease: Lease) -> None:
            self.calls.append(lease.attempt)
            if work is not None:
                await work(lease)
            async with self.database.sessions.begin() as session:
                await leases.finish(session, lease)

        return Runner(self.settings, self.database, {"work": Kind(handler=handler, **policy)})


@pytest.fixture
async def bench(settings_with: Callable[..., Settings]) -> Any:
    settings = settings_with(task_lease_seconds=1.5, task_retry_seconds=60)
    database = Database(settings)
    yield Bench(settings=settings, database=database, calls=[])
    await database.close()


async def fails(lease: Lease) -> None:
    raise RetryTask("out-of-luck")


async def test_a_task_that_is_done_has_no_row(bench: Bench) -> None:
    task_id = await bench.add()

    assert await bench.runner().run(task_id)

    assert await bench.row(task_id) is None
    assert bench.calls == [1]


async def test_many_workers_with_one_task_run_it_once(bench: Bench) -> None:
    task_id = await bench.add()

    done = await asyncio.gather(*(bench.runner().run(task_id) for _ in range(8)))

    assert done.count(True) == 1
    assert bench.calls == [1]


async def test_a_failed_attempt_is_due_again_later(bench: Bench) -> None:
    task_id = await bench.add()

    await bench.runner(fails).run(task_id)

    row = await bench.row(task_id)
    assert (row.state, row.attempts, row.last_error, row.is_later) == ("pending", 1, "out-of-luck", True)
    assert not await bench.runner().run(task_id)


async def test_the_last_failure_makes_a_dead_letter_with_last_words(bench: Bench) -> None:
    task_id, said = await bench.add(), []

    async def on_exhausted(session: AsyncSession, lease: Lease, error: RetryTask) -> None:
        said.append((lease.attempt, error.reason))

    runner = bench.runner(fails, max_attempts=2, on_exhausted=on_exhausted)
    await runner.run(task_id)
    await bench.change(task_id, "due_at = now()")
    await runner.run(task_id)

    row = await bench.row(task_id)
    assert (row.state, row.attempts, row.last_error) == ("dead", 2, "out-of-luck")
    assert said == [(2, "out-of-luck")]


async def test_a_task_that_takes_its_workers_down_is_given_up(bench: Bench) -> None:
    task_id = await bench.add()
    await bench.change(task_id, "attempts = 5, state = 'running', lease_token = id, lease_until = now()")

    await bench.runner(max_attempts=5).run(task_id)

    assert (await bench.row(task_id)).last_error == "worker-died"
    assert bench.calls == []


async def test_a_lease_that_ran_out_is_taken_by_another_and_the_first_writes_nothing(bench: Bench) -> None:
    task_id = await bench.add()

    async def is_overtaken(lease: Lease) -> None:
        await bench.change(task_id, "lease_until = now() - interval '1 second'")
        assert await bench.runner().run(task_id)

    assert not await bench.runner(is_overtaken).run(task_id)

    assert bench.calls == [1, 2]
    assert await bench.row(task_id) is None


async def test_a_long_task_keeps_its_lease(bench: Bench) -> None:
    task_id = await bench.add()
    first = (await bench.row(task_id)).created_at

    async def until_renewed_twice(lease: Lease) -> None:
        began = (await bench.row(task_id)).lease_until
        async with asyncio.timeout(20):
            while ((await bench.row(task_id)).lease_until - began).total_seconds() < 0.8:
                await asyncio.sleep(0.05)

    assert await bench.runner(until_renewed_twice).run(task_id)
    assert first


async def test_a_worker_that_stops_gives_its_attempt_back(bench: Bench) -> None:
    task_id, begun = await bench.add(), asyncio.Event()

    async def never_ends(lease: Lease) -> None:
        begun.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(bench.runner(never_ends).run(task_id))
    await begun.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    row = await bench.row(task_id)
    assert (row.state, row.attempts, row.is_later) == ("pending", 0, False)


async def test_a_worker_that_stops_ends_also_when_its_claim_fails_meanwhile(bench: Bench) -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def claiming() -> None:
        begun.set()
        await gone.wait()
        raise DatabaseAway

    stopping = asyncio.create_task(bench.runner().claim(claiming()))
    await begun.wait()
    stopping.cancel()
    asyncio.get_running_loop().call_soon(gone.set)

    with pytest.raises(asyncio.CancelledError):
        await stopping


async def test_a_worker_that_stops_ends_also_when_nothing_can_be_given_back(bench: Bench) -> None:
    task_id, begun = await bench.add(), asyncio.Event()

    async def never(lease: Lease) -> None:
        begun.set()
        await asyncio.Event().wait()

    stopping = asyncio.create_task(bench.runner(never).run(task_id))
    await begun.wait()
    async with bench.database.sessions.begin() as session:
        await session.execute(text("ALTER TABLE tasks RENAME TO tasks_elsewhere"))
    stopping.cancel()

    with pytest.raises(asyncio.CancelledError):
        await stopping


async def test_the_sweep_sends_what_is_due_and_leaves_the_rest(bench: Bench) -> None:
    lost, expired, later, fresh = [await bench.add() for _ in range(4)]
    await bench.change(lost, "due_at = now() - interval '5 seconds'")
    await bench.change(expired, "attempts = 1, state = 'running', lease_token = id, lease_until = now()")
    await bench.change(later, "due_at = now() + interval '1 hour'")
    assert fresh

    async with Queue(bench.settings, bench.database) as queue:
        sent = await queue.sweep()

    pool = await create_pool(redis_settings(bench.settings))
    jobs = {name.decode() for name in await pool.zrange(pool.default_queue_name, 0, -1)}
    await pool.aclose()
    assert sent == 2
    assert jobs == {f"{lost}:0", f"{expired}:1"}


async def test_a_task_that_was_sent_and_lost_long_ago_is_sent_under_another_name(bench: Bench) -> None:
    task_id = await bench.add()
    await bench.change(task_id, "due_at = now() - interval '95 seconds'")

    async with Queue(bench.settings, bench.database) as queue:
        await queue.wake(task_id)
        await queue.sweep()
        length = await queue.length()

    assert length == 2


async def test_wakes_of_a_moment_reach_the_queue_together(bench: Bench) -> None:
    tasks = [await bench.add() for _ in range(3)]

    async with Queue(bench.settings, bench.database) as queue:
        for task_id in tasks:
            queue.wake_soon(task_id)
        await queue.flush()
        length = await queue.length()

    assert length == 3


async def test_without_valkey_a_wake_is_only_a_warning(bench: Bench) -> None:
    task_id = await bench.add()
    away = bench.settings.model_copy(update={"redis_url": type(bench.settings.redis_url)("redis://127.0.0.1:1")})

    async with Queue(away, bench.database) as queue:
        assert not await queue.wake(task_id)
        queue.wake_soon(task_id)
        await queue.flush()
        assert await queue.length() == 0
