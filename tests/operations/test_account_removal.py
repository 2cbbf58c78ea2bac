"""Deleting an account ends access to it at once; a worker then removes all of its data."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

from imagesvc.images.account_data import MAX_IMAGES
from imagesvc.operations.account_removal import ACCOUNT_DATA
from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from tests.support.images import jpeg, png
from tests.support.people import People, Person
from tests.support.processes import until
from tests.support.service import Service, running_service
from tests.support.sql import sql
from tests.support.traces import NOTHING, pass_time, traces
from tests.support.wire import connected

PICTURE = jpeg(seed=1, size=(64, 48))


async def send(person: Person, *pictures: bytes, **fields: str) -> list[dict[str, Any]]:
    files = [("file", (f"{n}.jpg", picture)) for n, picture in enumerate(pictures)]
    answer = await person.client.post("/v1/images", data=fields, files=files)
    assert answer.status_code in (200, 201), answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


async def delete(people: People, person: Person) -> httpx.Response:
    return await people.service.owner.delete(f"/v1/users/{person.id}")


async def is_removed(service: Service) -> bool:
    tasks = await sql(service, "SELECT state, last_error FROM tasks WHERE kind = 'remove_account'")
    assert [task for task in tasks if task["state"] == "dead"] == []
    return tasks == []


async def test_all_data_of_an_account_is_removed_from_database_and_bucket(people: People) -> None:
    service, ann = people.service, await people.new("ann")
    results = await send(ann, *(jpeg(seed=seed, size=(64, 48)) for seed in range(3)))
    await ann.client.get(f"{results[-1]['url']}?wait=30")
    link = (await ann.client.post("/v1/links", json={"expires_in": 3600, "max_files": 5})).json()
    await service.anyone.put(f"/u/{link['token']}/d.jpg", content=jpeg(seed=4, size=(64, 48)))
    await ann.client.post(f"{results[0]['url']}/shares", json={"expires_in": 60})
    await people.new_key(ann, "read")

    answer = await delete(people, ann)

    assert answer.status_code == 204
    await until(lambda: is_removed(service))
    assert (await service.owner.get("/v1/stats")).json()["totals"]["images"] == 0
    assert await sql(service, "SELECT account FROM users") == [{"account": "admin"}]
    assert await sql(service, "SELECT 1 FROM links") == await sql(service, "SELECT 1 FROM shares") == []
    await pass_time(service)
    assert await traces(service) == NOTHING


async def test_access_ends_at_once_even_when_no_worker_runs(people: People) -> None:
    service, ann, bob = people.service, await people.new("ann"), await people.new("bob")
    image = (await send(ann, PICTURE, visibility="public"))[0]
    await ann.client.get(f"{image['url']}?wait=30")
    link = (await ann.client.post("/v1/links", json={"expires_in": 3600})).json()
    share = (await ann.client.post(f"{image['url']}/shares", json={"expires_in": 60})).json()
    key = await people.holding((await people.new_key(ann, "read"))["key"])
    paths = [image["url"], f"{image['url']}/renditions/thumb.webp"]
    before = [await service.anyone.get(path) for path in [*paths, f"/u/{link['token']}", share["url"]]]
    await service.stop_worker()

    await delete(people, ann)

    after = [await client.get(path) for client in (service.anyone, bob.client, service.owner) for path in paths]
    ended = [await service.anyone.get(f"/u/{link['token']}"), await service.anyone.get(share["url"])]
    assert [answer.status_code for answer in before] == [200] * 4
    assert [answer.status_code for answer in after] == [404] * 6
    assert (await service.owner.get(f"{image['url']}/original")).status_code == 404
    assert (await service.owner.get(f"/v1/uploads/{image['upload_id']}")).status_code == 404
    assert [answer.status_code for answer in ended] == [410, 410]
    assert [(await client.get("/v1/users/me")).status_code for client in (key, ann.client)] == [401, 401]
    assert (await service.owner.get(f"/v1/users/{ann.id}")).status_code == 404
    assert (await delete(people, ann)).status_code == 404


async def test_the_account_name_can_be_used_again_at_once(idle_people: People) -> None:
    ann = await idle_people.new("ann")
    await send(ann, PICTURE)
    await delete(idle_people, ann)

    another = await idle_people.new("Ann")

    assert another.id != ann.id
    assert (await send(another, PICTURE))[0]["status"] == "created"


async def test_the_same_content_of_another_account_stays(people: People) -> None:
    service, ann, bob = people.service, await people.new("ann"), await people.new("bob")
    await send(ann, PICTURE)
    of_bob = (await send(bob, PICTURE))[0]

    await delete(people, ann)

    await until(lambda: is_removed(service))
    assert (await bob.client.get(f"{of_bob['url']}/original")).content == PICTURE
    assert (await service.owner.get("/v1/stats")).json()["totals"]["images"] == 1


async def test_more_images_than_fit_in_one_transaction_are_all_removed(people: People) -> None:
    service, ann = people.service, await people.new("ann")
    await service.stop_worker()
    await send(ann, *(png(seed=seed, size=(8, 8)) for seed in range(MAX_IMAGES + 5)))

    service.start_worker()
    await delete(people, ann)

    await until(lambda: is_removed(service))
    assert await sql(service, "SELECT 1 FROM images") == []


async def test_concurrent_removals_by_several_workers_leave_one_result(idle_people: People) -> None:
    service, ann = idle_people.service, await idle_people.new("ann")
    await send(ann, *(png(seed=seed, size=(8, 8)) for seed in range(20)))
    await delete(idle_people, ann)
    task = (await sql(service, "SELECT id FROM tasks WHERE kind = 'remove_account'"))[0]["id"]
    runner = service.background.runner

    done = await asyncio.gather(*(runner.run(task) for _ in range(3)))

    assert sorted(done) == [False, False, True]
    assert await sql(service, "SELECT 1 FROM images") == []
    assert await sql(service, "SELECT account FROM users") == [{"account": "admin"}]


async def test_the_removal_of_a_killed_worker_is_continued_by_another(idle_people: People) -> None:
    service, ann = idle_people.service, await idle_people.new("ann")
    await send(ann, *(png(seed=seed, size=(8, 8)) for seed in range(5)))
    await delete(idle_people, ann)
    claimed = """
        UPDATE tasks SET state = 'running', attempts = 1, lease_token = gen_random_uuid(), lease_until = now()
        WHERE kind = 'remove_account' RETURNING id
    """
    task = (await sql(service, claimed))[0]["id"]
    await sql(service, "DELETE FROM uploads WHERE image_id = (SELECT min(id::text)::uuid FROM images)")

    await service.background.runner.run(task)

    assert await sql(service, "SELECT 1 FROM images") == []
    assert await sql(service, "SELECT account FROM users") == [{"account": "admin"}]


async def test_an_upload_that_ends_after_the_removal_fails_and_leaves_no_data(people: People) -> None:
    service, ann = people.service, await people.new("ann")
    head = (b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n' + PICTURE)[:-50]
    rest = PICTURE[-50:] + b"\r\n--b--\r\n"
    async with connected(service.url) as connection:
        await connection.begin(
            "POST",
            "/v1/images",
            f"Authorization: Bearer {ann.token}",
            "Content-Type: multipart/form-data; boundary=b",
            f"Content-Length: {len(head) + len(rest)}",
        )
        await connection.send(head)
        await delete(people, ann)
        await until(lambda: is_removed(service))
        await connection.send(rest)

        answer = await connection.answer()

    assert (answer.status, answer.json()["type"]) == (401, "/problems/account-gone")
    await pass_time(service)
    assert await traces(service) == NOTHING


async def test_an_unfinished_resumable_upload_is_aborted_and_its_parts_deleted(people: People) -> None:
    service, ann = people.service, await people.new("ann")
    tus = {"Tus-Resumable": "1.0.0"}
    begun = await ann.client.post("/v1/tus", headers=tus | {"Upload-Length": "100000"})
    assert begun.status_code == 201, begun.text
    offset = tus | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    part = await ann.client.patch(begun.headers["location"], headers=offset, content=PICTURE)
    assert part.status_code == 204, part.text

    await delete(people, ann)

    await until(lambda: is_removed(service))
    assert await sql(service, "SELECT account FROM users") == [{"account": "admin"}]
    assert await sql(service, "SELECT 1 FROM resumable_uploads") == []
    await pass_time(service)
    assert await traces(service) == NOTHING


OWNED = """
    SELECT DISTINCT c.relname AS name FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid WHERE f.contype = 'f'
    AND f.confrelid IN ('users'::regclass, 'links'::regclass, 'images'::regclass, 'batches'::regclass,
                        'jobs'::regclass, 'visits'::regclass, 'webhooks'::regclass)
    UNION SELECT table_name FROM information_schema.columns
    WHERE table_schema = 'public' AND column_name = 'owner_id' AND table_name <> 'stats_all'
"""
"""Tables whose rows refer to an account, or to something that belongs to one."""


async def test_every_table_that_refers_to_accounts_is_registered_for_removal(idle_people: People) -> None:
    owned = {row["name"] for row in await sql(idle_people.service, OWNED)}

    registered = {table for data in ACCOUNT_DATA for table in data.tables}

    assert owned - registered == set()
    assert registered - owned == {"tasks"}


async def test_removal_leaves_no_row_in_any_table_that_refers_to_the_account(
    settings_with: Callable[..., Settings], sandbox: Sandbox
) -> None:
    settings = settings_with(fetch_allow="127.0.0.1/32")
    async with running_service(settings, sandbox) as service, People(service) as people:
        ann = await people.new("ann")
        await people.new_key(ann, "read")
        await fill_every_table(service, ann)
        await require_all_removed(people, ann)


async def require_all_removed(people: People, ann: Person) -> None:
    service = people.service
    tables = sorted({row["name"] for row in await sql(service, OWNED)})
    filled = [table for table in tables if await sql(service, f"SELECT 1 FROM {table} LIMIT 1")]

    await delete(people, ann)

    await until(lambda: is_removed(service))
    left = [
        table for table in tables if await sql(service, f"SELECT 1 FROM {table} WHERE {table}::text LIKE '%{ann.id}%'")
    ]
    assert filled == tables
    assert left == []
    assert await sql(service, "SELECT account FROM users") == [{"account": "admin"}]
    emptied = [table for table in tables if table != "loose_objects" and await sql(service, f"SELECT 1 FROM {table}")]
    assert emptied == []


async def fill_every_table(service: Service, person: Person) -> None:
    """Insert at least one row into every table that refers to accounts."""
    client, anyone = person.client, service.anyone
    image = (await send(person, PICTURE))[0]
    await client.get(f"{image['url']}?wait=30")
    link = (await client.post("/v1/links", json={"expires_in": 60}, headers={"Idempotency-Key": "once"})).json()
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "100000"}
    visit = {"store_id": "S1", "image_url": ["http://127.0.0.1:9/a.jpg"], "visit_time": "2026-11-01T10:00:00Z"}
    made = [
        await anyone.put(f"/u/{link['token']}/b.jpg", content=jpeg(seed=2, size=(64, 48))),
        await client.post(f"{image['url']}/shares", json={"expires_in": 60}),
        await client.post("/v1/tus", headers=tus),
        await client.post("/v1/resizes", json={"image_id": image["image_id"], "width": 20, "height": 20}),
        await client.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/hook", "events": ["image.ready"]}),
    ]
    form = {"account": person.account, "password": person.password}
    signed_in = await anyone.post("/admin/sign-in", data=form, headers={"Origin": service.url})
    assert signed_in.status_code == 303
    assert [answer.status_code for answer in made] == [201, 201, 201, 202, 201], [answer.text for answer in made]
    await service.owner.put("/v1/stores/S1", json={"store_name": "One", "area": "A"})
    assert (await client.post("/v1/jobs", json={"count": 1, "visits": [visit]})).status_code == 201
    await sql(
        service,
        "INSERT INTO fetched_urls (owner_id, url_sha256, image_id)"
        " VALUES (CAST(:owner AS uuid), '\\x00', CAST(:image AS uuid))",
        owner=person.id,
        image=image["image_id"],
    )
    await sql(
        service,
        "INSERT INTO loose_objects (key, state, not_before, link_id)"
        " VALUES ('o/held', 'held', now() + interval '1h', CAST(:link AS uuid))",
        link=link["id"],
    )
    event = (await send(person, jpeg(seed=3, size=(64, 48))))[0]
    await client.get(f"{event['url']}?wait=30")
