"""The end of resizes: by expiry, with their image or account, after failures; and that nothing is left over."""

import asyncio

from tests.images.uploads import send
from tests.resizes.resize_client import encoded, let_time_pass, result_image, tasks, token_for, wait_until_ended
from tests.support.bookkeeping import named_keys, stored_keys
from tests.support.images import jpeg
from tests.support.people import People
from tests.support.processes import until
from tests.support.service import Service
from tests.support.sql import sql
from tests.support.traces import NOTHING, pass_time, traces

PHOTO = jpeg(seed=1, size=(320, 240))
ONLY_THE_BATCH = NOTHING | {"batches": 1}


async def test_an_expired_result_is_410_then_404_and_can_be_requested_again(
    service: Service,
) -> None:
    token = await token_for(service.owner, image=encoded(PHOTO))
    await wait_until_ended(service.owner, token)
    await service.stop_worker()
    await let_time_pass(service)
    at_once = await service.owner.get(f"/v1/resizes/{token}")
    expired = await service.background.resize_expiry.expire()
    left = await traces(service)
    answers = [await service.owner.get(f"/v1/resizes/{token}{path}") for path in ("", "/result")]
    await let_time_pass(service)
    await service.background.resize_expiry.expire()
    forgotten = await service.owner.get(f"/v1/resizes/{token}")

    service.start_worker()
    again = await token_for(service.owner, image=encoded(PHOTO))

    assert (expired, left) == (1, NOTHING)
    assert [answer.status_code for answer in (at_once, *answers)] == [410, 410, 410]
    assert answers[0].json()["type"] == "/problems/resize-expired"
    assert (forgotten.status_code, forgotten.json()["type"]) == (404, "/problems/resize-not-found")
    assert again == token
    assert (await result_image(service.owner, token)).size == (100, 75)


async def test_requesting_a_resize_whose_time_is_over_frees_the_old_object(service: Service) -> None:
    token = await token_for(service.owner, image=encoded(PHOTO))
    await wait_until_ended(service.owner, token)
    await let_time_pass(service)

    await token_for(service.owner, image=encoded(PHOTO))

    assert (await wait_until_ended(service.owner, token))["status"] == "SUCCESS"
    await service.stop_worker()
    assert await traces(service) == NOTHING | {"objects": 1}


async def test_a_deleted_image_is_still_resized_and_its_file_is_deleted_after_that(
    idle_service: Service,
) -> None:
    service = idle_service
    sent = await send(service, PHOTO)
    token = await token_for(service.owner, image_id=sent["image_id"])

    deleted = await service.owner.delete(sent["url"])
    before = await sql(service, "SELECT count(*) FROM blobs")
    service.start_worker()
    status = await wait_until_ended(service.owner, token)
    await until(lambda: has_no_task(service))
    await service.stop_worker()

    assert (deleted.status_code, before[0]["count"], status["status"]) == (204, 1, "SUCCESS")
    assert await traces(service) == ONLY_THE_BATCH | {"objects": 1}


async def has_no_task(service: Service) -> bool:
    return await sql(service, "SELECT 1 FROM tasks") == []


async def test_a_resize_of_a_lost_object_fails_and_can_be_requested_again(idle_service: Service) -> None:
    service = idle_service
    token = await token_for(service.owner, image=encoded(PHOTO))
    source = (await sql(service, "SELECT source_key FROM resizes"))[0]["source_key"]
    await service.background.servers.storage.delete(source)
    service.start_worker()
    failure = await wait_until_ended(service.owner, token)
    dead = await tasks(service)

    again = await token_for(service.owner, image=encoded(PHOTO))
    success = await wait_until_ended(service.owner, token)
    await service.stop_worker()

    assert (failure["status"], failure["error"]["type"]) == ("FAILURE", "/problems/object-lost")
    assert [task["state"] for task in dead] == ["dead"]
    assert (again, success["status"], await tasks(service)) == (token, "SUCCESS", [])
    assert await traces(service) == NOTHING | {"objects": 1}


async def test_a_retried_dead_letter_still_has_its_source(idle_service: Service) -> None:
    service = idle_service
    token = await token_for(service.owner, image=encoded(PHOTO))
    await sql(service, "UPDATE tasks SET attempts = 3, state = 'running', lease_token = id, lease_until = now()")
    task = (await tasks(service))[0]["id"]
    await service.background.runner.run(task)
    failed = (await service.owner.get(f"/v1/resizes/{token}")).json()

    retried = await service.owner.post(f"/v1/ops/tasks/{task}/retry")
    await service.background.runner.run(task)

    assert (failed["status"], failed["error"]["type"]) == ("FAILURE", "/problems/worker-died")
    assert retried.is_success
    assert (await result_image(service.owner, token)).size == (100, 75)
    assert await tasks(service) == []


async def test_a_task_that_the_row_no_longer_names_writes_nothing(idle_service: Service) -> None:
    """After expiry, a new request gave the row another task while the old task was a dead letter."""
    service = idle_service
    await token_for(service.owner, image=encoded(PHOTO))
    old = (await tasks(service))[0]["id"]
    await sql(service, "UPDATE resizes SET task_id = gen_random_uuid()")

    assert await service.background.runner.run(old)

    assert await sql(service, "SELECT state, key FROM resizes") == [{"state": "pending", "key": None}]
    servers = service.background.servers
    assert await stored_keys(servers) <= await named_keys(servers)


async def test_the_resizes_of_a_deleted_account_are_deleted(people: People) -> None:
    service, ann = people.service, await people.new("ann")
    done = await token_for(ann.client, image=encoded(PHOTO))
    await wait_until_ended(ann.client, done)
    sent = (await ann.client.post("/v1/images", files={"file": ("a.jpg", PHOTO)})).json()["results"][0]
    await service.stop_worker()
    await token_for(ann.client, image_id=sent["image_id"], width=7)
    await token_for(ann.client, image=encoded(PHOTO), width=8)
    await sql(service, "UPDATE tasks SET state = 'dead', attempts = 3 WHERE payload ->> 'work' LIKE '%\"width\": 7,%'")

    service.start_worker()
    deleted = await service.owner.delete(f"/v1/users/{ann.id}")
    await until(lambda: has_no_task(service))
    await service.stop_worker()

    assert deleted.status_code == 204
    assert await sql(service, "SELECT account FROM users") == [{"account": "admin"}]
    await pass_time(service)
    assert await traces(service) == NOTHING


async def test_every_stored_object_has_a_row_at_all_times(service: Service) -> None:
    servers, owner = service.background.servers, service.owner

    async def check_objects() -> None:
        while True:
            stored = await stored_keys(servers)
            assert stored <= await named_keys(servers)
            await asyncio.sleep(0.01)

    checking = asyncio.create_task(check_objects())
    tokens = await asyncio.gather(*(token_for(owner, image=encoded(PHOTO), width=10 + n) for n in range(6)))
    await asyncio.gather(*(wait_until_ended(owner, token) for token in tokens))

    assert not checking.done()
    checking.cancel()
