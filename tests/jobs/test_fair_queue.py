"""The fair queue: no job waits for a larger one, or for one whose downloads hang."""

import asyncio
from uuid import UUID, uuid4

from sqlalchemy import insert

from imagesvc.db import new_id
from imagesvc.tasks.fair_queue import FairQueue
from imagesvc.tasks.leases import Lease, finish
from imagesvc.tasks.models import Task
from imagesvc.tasks.runner import Kind, Runner
from tests.jobs.job_requests import Gate, counts, finished, job, picture, submit, upload, visit
from tests.stores.store_requests import put_store
from tests.support.image_server import ImageServer
from tests.support.processes import until
from tests.support.service import Service
from tests.support.sql import sql


async def test_a_job_whose_downloads_hang_delays_neither_other_jobs_nor_uploads(
    fetching: Service, images: ImageServer
) -> None:
    await put_store(fetching, "S1")
    gate = Gate(images)
    hanging = [gate.serve(f"/hanging/{n}", picture(1)) for n in range(20)]
    slow = await submit(fetching.owner, visit(*hanging))
    await until(lambda: are_requested(images, times=2))

    quick = await finished(fetching.owner, await submit(fetching.owner, visit(images.serve("/quick", picture(2)))))
    uploaded = await upload(fetching, picture(3))
    meanwhile = await job(fetching.owner, slow)
    requested = sum(request.path.startswith("/hanging") for request in images.requests)
    gate.open()

    assert (quick["status"], uploaded["state"]) == ("completed", "ready")
    assert counts(meanwhile) == ("ongoing", 20, 0, 0, 0)
    assert requested == 2  # half of the four slots
    assert counts(await finished(fetching.owner, slow)) == ("completed", 20, 20, 0, 0)


async def are_requested(images: ImageServer, *, times: int) -> bool:
    return len(images.requests) >= times


async def test_a_small_job_completes_while_a_large_one_runs(fetching: Service, images: ImageServer) -> None:
    await put_store(fetching, "S1")
    large = await submit(fetching.owner, visit(*(images.serve(f"/large/{n}", picture(1)) for n in range(150))))
    await until(lambda: are_requested(images, times=5))

    small = await submit(fetching.owner, visit(*(images.serve(f"/small/{n}", picture(1)) for n in range(3))))
    done = await finished(fetching.owner, small)
    meanwhile = await job(fetching.owner, large)
    cancelled = await fetching.owner.delete(f"/v1/jobs/{large}")

    assert counts(done) == ("completed", 3, 3, 0, 0)
    assert (meanwhile["status"], 0 < meanwhile["done"] < 100) == ("ongoing", True)
    assert cancelled.json()["status"] == "cancelled"


async def test_groups_get_equally_many_slots_however_many_tasks_they_have(idle_service: Service) -> None:
    servers, may_end = idle_service.background.servers, asyncio.Event()
    started: list[UUID] = []

    async def wait(lease: Lease) -> None:
        assert lease.turn_of is not None
        started.append(lease.turn_of)
        await may_end.wait()
        async with servers.database.sessions.begin() as session:
            await finish(session, lease)

    groups = {uuid4(): 30, uuid4(): 3, uuid4(): 30}
    rows = [{"id": new_id(), "kind": "wait", "turn_of": group} for group, count in groups.items() for _ in range(count)]
    async with servers.database.sessions.begin() as session:
        await session.execute(insert(Task), rows)
    runner = Runner(servers.settings, servers.database, {"wait": Kind(handler=wait)})
    queues = [FairQueue(servers.settings, servers.database, runner) for _ in range(2)]  # two processes
    running = [asyncio.create_task(queue.run()) for queue in queues]

    async def all_slots_are_taken() -> bool:
        return len(started) == 2 * servers.settings.turns_at_once

    async def all_are_done() -> bool:
        return await sql(idle_service, "SELECT id FROM tasks") == []

    await until(all_slots_are_taken)
    taken = sorted(started.count(group) for group in groups)
    may_end.set()
    await until(all_are_done)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)

    assert taken[0] == 3
    # two processes may claim at the same moment, each before it sees the claim of the other
    assert taken[2] - taken[1] <= 4
    assert sorted(started.count(group) for group in groups) == [3, 30, 30]


async def test_an_attempt_of_a_killed_worker_counts_and_one_of_a_stopped_worker_does_not(
    idle_service: Service,
) -> None:
    servers, started = idle_service.background.servers, asyncio.Event()

    async def wait(lease: Lease) -> None:
        started.set()
        await asyncio.Event().wait()

    async with servers.database.sessions.begin() as session:
        await session.execute(insert(Task), [{"id": new_id(), "kind": "wait", "turn_of": uuid4()}])
    queue = FairQueue(
        servers.settings, servers.database, Runner(servers.settings, servers.database, {"wait": Kind(handler=wait)})
    )

    async def run_and_stop() -> list[dict[str, object]]:
        started.clear()
        running = asyncio.create_task(queue.run())
        await started.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return await sql(idle_service, "SELECT state, attempts FROM tasks")

    returned = await run_and_stop()
    await sql(
        idle_service,
        "UPDATE tasks SET state = 'running', attempts = 1, lease_token = gen_random_uuid(),"
        " lease_until = now() - interval '1 s'",
    )
    recovered = await queue.recover()
    again = await sql(idle_service, "SELECT state, attempts FROM tasks")

    assert returned == [{"state": "pending", "attempts": 0}]
    assert (recovered, again) == (1, [{"state": "pending", "attempts": 1}])
    assert await run_and_stop() == [{"state": "pending", "attempts": 1}]
