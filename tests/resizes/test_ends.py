"""How resizes end: in time, with their image, with their owner, after failures of ours; and that nothing is left."""

import asyncio

from tests.images.uploads import send
from tests.resizes.asking import encoded, ended, let_time_pass, picture_of, tasks, token_for
from tests.support.bookkeeping import named_keys, stored_keys
from tests.support.images import jpeg
from tests.support.people import People
from tests.support.processes import until
from tests.support.service import Service
from tests.support.sql import sql
from tests.support.traces import NOTHING, pass_time, traces

PICTURE = jpeg(seed=1, size=(320, 240))
ONLY_THE_REQUEST = NOTHING | {"batches": 1}


async def test_an_expired_result_is_gone_with_its_object_then_forgotten_and_asking_again_starts_anew(
    service: Service,
) -> None:
    token = await token_for(service.owner, image=encoded(PICTURE))
    await ended(service.owner, token)
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
    again = await token_for(service.owner, image=encoded(PICTURE))

    assert (expired, left) == (1, NOTHING)
    assert [answer.status_code for answer in (at_once, *answers)] == [410, 410, 410]
    assert answers[0].json()["type"] == "/problems/resize-expired"
    assert (forgotten.status_code, forgotten.json()["type"]) == (404, "/problems/resize-not-found")
    assert again == token
    assert (await picture_of(service.owner, token)).size == (100, 75)


async def test_asking_for_what_has_expired_but_was_not_cleared_yet_frees_the_old_object(service: Service) -> None:
    token = await token_for(service.owner, image=encoded(PICTURE))
    await ended(service.owner, token)
    await let_time_pass(service)

    await token_for(service.owner, image=encoded(PICTURE))

    assert (await ended(service.owner, token))["status"] == "SUCCESS"
    await service.stop_worker()
    assert await traces(service) == NOTHING | {"objects": 1}


async def test_an_image_that_is_deleted_meanwhile_is_resized_all_the_same_and_its_file_goes_then(
    idle_service: Service,
) -> None:
    service = idle_service
    sent = await send(service, PICTURE)
    token = await token_for(service.owner, image_id=sent["image_id"])

    deleted = await service.owner.delete(sent["url"])
    before = await sql(service, "SELECT count(*) FROM blobs")
    service.start_worker()
    status = await ended(service.owner, token)
    await until(lambda: nothing_is_due(service))
    await service.stop_worker()

    assert (deleted.status_code, before[0]["count"], status["status"]) == (204, 1, "SUCCESS")
    assert await traces(service) == ONLY_THE_REQUEST | {"objects": 1}


async def nothing_is_due(service: Service) -> bool:
    return await sql(service, "SELECT 1 FROM tasks") == []


async def test_a_lost_source_is_a_failure_of_ours_and_asking_again_starts_anew(idle_service: Service) -> None:
    service = idle_service
    token = await token_for(service.owner, image=encoded(PICTURE))
    source = (await sql(service, "SELECT source_key FROM resizes"))[0]["source_key"]
    await service.background.servers.storage.delete(source)
    service.start_worker()
    failure = await ended(service.owner, token)
    dead = await tasks(service)

    again = await token_for(service.owner, image=encoded(PICTURE))
    success = await ended(service.owner, token)
    await service.stop_worker()

    assert (failure["status"], failure["error"]["type"]) == ("FAILURE", "/problems/object-lost")
    assert [task["state"] for task in dead] == ["dead"]
    assert (again, success["status"], await tasks(service)) == (token, "SUCCESS", [])
    assert await traces(service) == NOTHING | {"objects": 1}


async def test_a_dead_letter_that_is_tried_again_still_has_its_source(idle_service: Service) -> None:
    service = idle_service
    token = await token_for(service.owner, image=encoded(PICTURE))
    await sql(service, "UPDATE tasks SET attempts = 3, state = 'running', lease_token = id, lease_until = now()")
    task = (await tasks(service))[0]["id"]
    await service.background.runner.run(task)
    failed = (await service.owner.get(f"/v1/resizes/{token}")).json()

    retried = await service.owner.post(f"/v1/ops/tasks/{task}/retry")
    await service.background.runner.run(task)

    assert (failed["status"], failed["error"]["type"]) == ("FAILURE", "/problems/worker-died")
    assert retried.is_success
    assert (await picture_of(service.owner, token)).size == (100, 75)
    assert await tasks(service) == []


async def test_a_worker_that_has_lost_its_row_writes_nothing(idle_service: Service) -> None:
    """The answer expired and was asked for anew while an old task lay dead: the old one finds it is not its own."""
    service = idle_service
    await token_for(service.owner, image=encoded(PICTURE))
    old = (await tasks(service))[0]["id"]
    await sql(service, "UPDATE resizes SET task_id = gen_random_uuid()")

    assert await service.background.runner.run(old)

    assert await sql(service, "SELECT state, key FROM resizes") == [{"state": "pending", "key": None}]
    servers = service.background.servers
    assert await stored_keys(servers) <= await named_keys(servers)


async def test_a_deleted_account_takes_its_resizes_along(people: People) -> None:
    service, ann = people.service, await people.new("ann")
    done = await token_for(ann.client, image=encoded(PICTURE))
    await ended(ann.client, done)
    sent = (await ann.client.post("/v1/images", files={"file": ("a.jpg", PICTURE)})).json()["results"][0]
    await service.stop_worker()
    await token_for(ann.client, image_id=sent["image_id"], width=7)
    await token_for(ann.client, image=encoded(PICTURE), width=8)
    await sql(service, "UPDATE tasks SET state = 'dead', attempts = 3 WHERE payload ->> 'work' LIKE '%\"width\": 7,%'")

    service.start_worker()
    deleted = await service.owner.delete(f"/v1/users/{ann.id}")
    await until(lambda: nothing_is_due(service))
    await service.stop_worker()

    assert deleted.status_code == 204
    assert await sql(service, "SELECT account FROM users") == [{"account": "admin"}]
    await pass_time(service)
    assert await traces(service) == NOTHING


async def test_at_every_moment_each_object_is_named(service: Service) -> None:
    servers, owner = service.background.servers, service.owner

    async def look() -> None:
        while True:
            stored = await stored_keys(servers)
            assert stored <= await named_keys(servers)
            await asyncio.sleep(0.01)

    looking = asyncio.create_task(look())
    tokens = await asyncio.gather(*(token_for(owner, image=encoded(PICTURE), width=10 + n) for n in range(6)))
    await asyncio.gather(*(ended(owner, token) for token in tokens))

    assert not looking.done()
    looking.cancel()
