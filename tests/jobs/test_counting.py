"""The counts of a job stay exact under concurrency, repetition, crashes and cancellation."""

import asyncio
from uuid import UUID

from imagesvc.jobs.completion import ImageOutcome, end_images, failed, lock_job
from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from tests.jobs.job_requests import (
    Gate,
    counts,
    finished,
    images_of,
    job,
    picture,
    submit,
    upload,
    visit,
)
from tests.stores.store_requests import put_store
from tests.support.image_server import ImageServer
from tests.support.people import People
from tests.support.processes import process, until
from tests.support.service import Service, running_service
from tests.support.sql import sql
from tests.support.traces import NOTHING, pass_time, traces


async def task_ids(service: Service) -> list[UUID]:
    return [row["id"] for row in await sql(service, "SELECT id FROM tasks WHERE turn_of IS NOT NULL")]


async def test_concurrent_ends_and_repeated_tasks_are_counted_once(fetching: Service, images: ImageServer) -> None:
    await put_store(fetching, "S1")
    await upload(fetching, picture(1))  # already processed, so that no task waits
    await fetching.stop_worker()
    job_id = await submit(
        fetching.owner,
        visit(*(images.serve(f"/{n}", picture(1)) for n in range(12))),
        visit(*(images.url(f"/missing/{n}") for n in range(12))),
    )
    tasks, run = await task_ids(fetching), fetching.background.runner.run

    await asyncio.gather(*(run(task) for task in tasks for _ in range(2)))

    assert len(tasks) == 24
    assert counts(await job(fetching.owner, job_id)) == ("failed", 24, 12, 12, 0)
    assert (await sql(fetching, "SELECT count(*) FROM uploads WHERE way = 'job'"))[0]["count"] == 12
    assert await task_ids(fetching) == []


async def test_an_image_that_ends_twice_is_counted_once(idle_fetching: Service, images: ImageServer) -> None:
    await put_store(idle_fetching, "S1")
    job_id = await submit(idle_fetching.owner, visit(images.url("/a"), images.url("/b")))
    tasks, sessions = await task_ids(idle_fetching), idle_fetching.background.servers.database.sessions

    async def end(task: UUID, outcome: ImageOutcome) -> None:
        async with sessions.begin() as session:
            assert await lock_job(session, UUID(job_id))
            await end_images(session, UUID(job_id), task, outcome)

    done = ImageOutcome(state="done", perimeter=1, score=1, seconds=1.0)
    await asyncio.gather(*(end(task, outcome) for task in tasks for outcome in (done, failed("timed-out")) * 3))

    found = await job(idle_fetching.owner, job_id)
    assert (found["done"] + found["failed"], found["total"]) == (2, 2)
    assert found["finished_at"] is not None


async def test_a_worker_that_resumes_after_its_lease_expired_changes_nothing(
    fetching: Service, images: ImageServer
) -> None:
    await put_store(fetching, "S1")
    await upload(fetching, picture(1))
    await fetching.stop_worker()
    gate = Gate(images)
    url = images.behave("/a", gate.held(picture(1)), gate.held(picture(1)))
    job_id = await submit(fetching.owner, visit(url))
    (task,) = await task_ids(fetching)
    run = fetching.background.runner.run

    async def is_requested(times: int) -> bool:
        return len(images.requests) >= times

    first = asyncio.create_task(run(task))
    await until(lambda: is_requested(1))
    await sql(fetching, "UPDATE tasks SET lease_until = now() - interval '1 s' WHERE turn_of IS NOT NULL")
    second = asyncio.create_task(run(task))
    await until(lambda: is_requested(2))
    gate.open()
    await asyncio.gather(first, second)
    # the attempt that reached admission second has postponed its task
    for task in await task_ids(fetching):
        await sql(
            fetching, "UPDATE tasks SET due_at = now(), lease_until = now() - interval '1 s' WHERE id = :id", id=task
        )
        await run(task)

    assert counts(await job(fetching.owner, job_id)) == ("completed", 1, 1, 0, 0)
    assert (await sql(fetching, "SELECT count(*) FROM uploads WHERE way = 'job'"))[0]["count"] == 1
    assert await task_ids(fetching) == []


async def test_an_image_admitted_before_a_crash_is_not_downloaded_again(
    idle_fetching: Service, images: ImageServer
) -> None:
    service = idle_fetching
    await put_store(service, "S1")
    job_id = await submit(service.owner, visit(images.serve("/a", picture(1))))
    (task,) = await task_ids(service)

    async def is_admitted() -> bool:
        return await sql(service, "SELECT id FROM uploads") != []

    running = asyncio.create_task(service.background.runner.run(task))
    await until(is_admitted)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    service.start_worker()

    assert counts(await finished(service.owner, job_id)) == ("completed", 1, 1, 0, 0)
    assert images.times("/a") == 1


async def test_a_killed_worker_loses_no_image(
    fetching_settings: Settings, sandbox: Sandbox, images: ImageServer
) -> None:
    settings = fetching_settings.model_copy(update={"task_lease_seconds": 1.0})
    gate = Gate(images)
    async with running_service(settings, sandbox, with_worker=False) as service:
        await put_store(service, "S1")
        job_id = await submit(service.owner, visit(*(gate.serve(f"/{n}", picture(n)) for n in range(3))))

        async def is_requested() -> bool:
            return len(images.requests) >= 2

        async with process(settings, "worker") as worker:
            await until(is_requested)
            await worker.end()
        gate.open()
        service.start_worker()

        assert counts(await finished(service.owner, job_id)) == ("completed", 3, 3, 0, 0)
        assert (await sql(service, "SELECT count(*) FROM uploads"))[0]["count"] == 3


async def test_cancelling_stops_unstarted_images_and_counts_started_ones(
    fetching: Service, images: ImageServer
) -> None:
    await put_store(fetching, "S1")
    gate, owner = Gate(images), fetching.owner
    job_id = await submit(owner, visit(*(gate.serve(f"/{n}", picture(1)) for n in range(10))))

    async def is_requested() -> bool:
        return len(images.requests) >= 2

    await until(is_requested)
    cancelled = (await owner.delete(f"/v1/jobs/{job_id}")).json()
    gate.open()
    ended = await finished(owner, job_id)
    again = (await owner.delete(f"/v1/jobs/{job_id}")).json()

    assert counts(cancelled) == ("cancelled", 10, 0, 0, 8)
    assert cancelled["finished_at"] is None
    assert counts(ended) == counts(again) == ("cancelled", 10, 2, 0, 8)
    assert len(images.requests) == 2
    assert sorted(item["state"] for item in await images_of(owner, job_id)) == ["cancelled"] * 8 + ["done"] * 2


async def test_a_job_of_thousands_of_images_is_accepted_and_cancelled_as_a_whole(
    idle_fetching: Service, images: ImageServer
) -> None:
    await put_store(idle_fetching, "S1")
    visits = [visit(*(images.url(f"/{n}/{m}") for m in range(10))) for n in range(300)]

    job_id = await submit(idle_fetching.owner, *visits)
    tasks = len(await task_ids(idle_fetching))
    cancelled = (await idle_fetching.owner.delete(f"/v1/jobs/{job_id}")).json()
    finished_job = await submit(idle_fetching.owner, visit(images.url("/"), store="NOPE"))
    afterwards = (await idle_fetching.owner.delete(f"/v1/jobs/{finished_job}")).json()

    assert tasks == 3000
    assert counts(cancelled) == ("cancelled", 3000, 0, 0, 3000)
    assert cancelled["finished_at"] is not None
    assert await task_ids(idle_fetching) == []
    assert afterwards["status"] == "failed"  # a finished job does not change


async def test_a_deleted_image_keeps_its_measurements_and_a_deleted_account_no_jobs(
    fetching: Service, images: ImageServer
) -> None:
    await put_store(fetching, "S1")
    gate = Gate(images)
    async with People(fetching) as people:
        ann = await people.new("ann")
        done = await submit(ann.client, visit(images.serve("/a", picture(1), etag='"1"')))
        await finished(ann.client, done)
        (before,) = await images_of(ann.client, done)
        deleted = await ann.client.delete(f"/v1/images/{before['image_id']}")
        (after,) = await images_of(ann.client, done)
        await submit(ann.client, visit(*(gate.serve(f"/{n}", picture(2)) for n in range(5))))

        async def is_requested() -> bool:
            return len(images.requests) >= 3

        await until(is_requested)
        removed = await fetching.owner.delete(f"/v1/users/{ann.id}")
        gate.open()

    async def is_deleted() -> bool:
        return await sql(fetching, "SELECT account FROM users") == [{"account": "admin"}]

    await until(is_deleted)
    assert (deleted.status_code, removed.status_code) == (204, 204)
    assert after == {**before, "image_id": None}
    for table in ("jobs", "visits", "visit_images", "fetched_urls", "tasks"):
        assert await sql(fetching, f"SELECT 1 FROM {table}") == []
    await pass_time(fetching)
    assert await traces(fetching) == NOTHING


async def test_disabling_an_account_cancels_its_jobs(idle_fetching: Service, images: ImageServer) -> None:
    await put_store(idle_fetching, "S1")
    async with People(idle_fetching) as people:
        ann = await people.new("ann")
        job_id = await submit(ann.client, visit(images.serve("/a", picture(1)), images.serve("/b", picture(2))))
        await idle_fetching.owner.patch(f"/v1/users/{ann.id}", json={"disabled": True})
        idle_fetching.start_worker()

    assert counts(await finished(idle_fetching.owner, job_id)) == ("cancelled", 2, 0, 0, 2)
    assert images.requests == []
