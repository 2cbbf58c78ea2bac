"""Dead letters are listed, retried and dropped, over HTTP and on the command line."""

import asyncio
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from imagesvc.cli import app
from imagesvc.db import new_id
from tests.support.bookkeeping import owned_keys, stored_keys
from tests.support.images import jpeg
from tests.support.people import People
from tests.support.processes import environment, until
from tests.support.service import Service
from tests.support.sql import sql

TASKS = "/v1/ops/tasks"


async def send(service: Service, *, seed: int = 1) -> dict[str, Any]:
    answer = await service.owner.post("/v1/images", files=[("file", (f"{seed}.jpg", jpeg(seed=seed, size=(64, 48))))])
    result: dict[str, Any] = answer.json()["results"][0]
    return result


async def make_dead(service: Service, *, reason: str = "decoder-timeout") -> None:
    """Set tasks, blobs and images to the states after the last attempt of every task."""
    await sql(service, "UPDATE tasks SET state = 'dead', attempts = 5, died_at = now(), last_error = :r", r=reason)
    for table in ("blobs", "images"):
        await sql(service, f'UPDATE {table} SET state = \'failed\', problem = \'{{"type": "x", "title": "x"}}\'')


async def dead_letters(service: Service, **filters: Any) -> list[dict[str, Any]]:
    answer = await service.owner.get(TASKS, params={"state": "dead", **filters})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def images_of(service: Service) -> list[str]:
    return [row["state"] for row in await sql(service, "SELECT state FROM images ORDER BY id")]


async def test_a_retried_task_that_succeeds_leaves_a_ready_image_and_no_dead_letter(idle_service: Service) -> None:
    service = idle_service
    sent = await send(service)
    await make_dead(service)
    (letter,) = await dead_letters(service)
    seen = (await service.owner.get(f"/v1/images/{sent['image_id']}")).json()

    retried = await service.owner.post(f"{TASKS}/{letter['id']}/retry")
    reopened = (await service.owner.get(f"/v1/images/{sent['image_id']}")).json()
    service.start_worker()
    image = await service.image_of(sent)

    assert (letter["kind"], letter["last_error"], letter["attempts"]) == ("process_image", "decoder-timeout", 5)
    assert (letter["image_id"], letter["died_at"] is None) == (sent["image_id"], False)
    assert (seen["state"], seen["problem"]["title"]) == ("failed", "x")
    assert (retried.status_code, retried.json()["state"], retried.json()["attempts"]) == (200, "pending", 0)
    assert (retried.json()["last_error"], retried.json()["died_at"]) == (None, None)
    assert (reopened["state"], reopened["problem"]) == ("pending", None)
    assert image["state"] == "ready"
    assert await sql(service, "SELECT * FROM tasks") == []


async def test_a_retry_also_processes_the_same_picture_of_other_owners(idle_service: Service) -> None:
    service = idle_service
    async with People(service) as people:
        ann = await people.new("ann")
        await send(service)
        await ann.client.post("/v1/images", files=[("file", ("1.jpg", jpeg(seed=1, size=(64, 48))))])
        await make_dead(service)
        # the second owner's task has ended because the blob had failed
        await sql(service, "DELETE FROM tasks WHERE image_id IN (SELECT id FROM images WHERE owner_id = :a)", a=ann.id)
        (letter,) = await dead_letters(service)

        await service.owner.post(f"{TASKS}/{letter['id']}/retry")
        service.start_worker()
        mine = (await service.owner.get(f"/v1/images/{letter['image_id']}", params={"wait": 30})).json()

        async def is_done() -> bool:
            return await sql(service, "SELECT * FROM tasks") == []

        await until(is_done)

    assert mine["state"] == "ready"
    assert await images_of(service) == ["ready", "ready"]


async def test_dead_letters_are_retried_by_filter_a_bounded_number_at_a_time(idle_service: Service) -> None:
    service = idle_service
    for seed in range(4):
        await send(service, seed=seed)
    await make_dead(service)
    letters = sorted(letter["id"] for letter in await dead_letters(service))
    await sql(service, "UPDATE tasks SET last_error = 'other-error' WHERE id = :id", id=letters[0])
    wanted = {"kind": "process_image", "last_error": "decoder-timeout", "limit": 2}

    first = (await service.owner.post(f"{TASKS}/retry", json=wanted)).json()
    second = (await service.owner.post(f"{TASKS}/retry", json={**wanted, "after": first["last_id"]})).json()
    early = (await service.owner.post(f"{TASKS}/retry", json={"died_to": "2020-01-01T00:00:00Z"})).json()
    left = await dead_letters(service)
    rest = (await service.owner.post(f"{TASKS}/retry", json={})).json()

    assert first == {"retried": 2, "last_id": letters[2]}
    assert second == {"retried": 1, "last_id": None}
    assert early == {"retried": 0, "last_id": None}
    assert [letter["id"] for letter in left] == letters[:1]
    assert rest == {"retried": 1, "last_id": None}
    assert await images_of(service) == ["pending"] * 4


async def test_tasks_are_listed_in_pages_by_state_and_kind(idle_service: Service) -> None:
    service = idle_service
    for seed in range(3):
        await send(service, seed=seed)
    await sql(service, "INSERT INTO tasks (id, kind) VALUES (:id, 'other')", id=new_id())

    first = await service.owner.get(TASKS, params={"kind": "process_image", "limit": 2})
    rest = await service.owner.get(first.links["next"]["url"])
    other = await service.owner.get(TASKS, params={"state": "pending", "kind": "other"})
    dead = await service.owner.get(TASKS, params={"state": "dead"})
    mixed = await service.owner.get(TASKS, params={"state": "dead", "cursor": first.json()["next_cursor"]})

    listed = [item["id"] for page in (first, rest) for item in page.json()["items"]]
    assert len(set(listed)) == 3
    assert listed == sorted(listed, reverse=True)
    assert (rest.json()["next_cursor"], len(other.json()["items"]), dead.json()["items"]) == (None, 1, [])
    assert mixed.status_code == 400


@pytest.mark.parametrize("deletes_image_first", [False, True])
async def test_dropping_a_dead_letter_releases_its_blob(idle_service: Service, deletes_image_first: bool) -> None:
    service, servers = idle_service, idle_service.background.servers
    sent = await send(service)
    await sql(
        service,
        "UPDATE tasks SET kind = 'make_rendition', state = 'dead', image_id = NULL, payload = '{}', died_at = now()",
    )
    (letter,) = await dead_letters(service)

    async def delete_image() -> None:
        assert (await service.owner.delete(f"/v1/images/{sent['image_id']}")).status_code == 204

    async def drop() -> None:
        assert (await service.owner.delete(f"{TASKS}/{letter['id']}")).status_code == 204

    steps = (delete_image, drop) if deletes_image_first else (drop, delete_image)
    await steps[0]()
    between = len(await owned_keys(servers))
    await steps[1]()
    await service.background.reaper.reap()

    assert between == 1
    assert await stored_keys(servers) == await owned_keys(servers) == set()


async def test_only_dead_letters_are_retried_or_dropped_and_only_by_admins(idle_service: Service) -> None:
    service = idle_service
    await send(service)
    (pending,) = (await service.owner.get(TASKS)).json()["items"]
    unknown = f"{TASKS}/{new_id()}"
    async with People(service) as people:
        ann = await people.new("ann")
        refused = [
            (await ann.client.get(TASKS)).status_code,
            (await ann.client.post(f"{TASKS}/retry", json={})).status_code,
            (await ann.client.post(f"{TASKS}/{pending['id']}/retry")).status_code,
            (await ann.client.delete(f"{TASKS}/{pending['id']}")).status_code,
        ]
    alive = [
        (await service.owner.post(f"{TASKS}/{pending['id']}/retry")).json()["type"],
        (await service.owner.delete(f"{TASKS}/{pending['id']}")).json()["type"],
    ]
    gone = [
        (await service.owner.post(f"{unknown}/retry")).status_code,
        (await service.owner.delete(unknown)).status_code,
    ]
    wrong = [
        (await service.owner.get(TASKS, params={"kind": "a\0b"})).status_code,
        (await service.owner.post(f"{TASKS}/retry", json={"last_error": "a\0b"})).status_code,
        (await service.owner.post(f"{TASKS}/retry", json={"limit": 1001})).status_code,
    ]

    assert refused == [403] * 4
    assert alive == ["/problems/task-not-dead"] * 2
    assert gone == [404, 404]
    assert wrong == [422] * 3


async def test_the_command_line_lists_retries_and_drops(idle_service: Service) -> None:
    service = idle_service
    for seed in range(3):
        await send(service, seed=seed)
    await make_dead(service)

    async def tasks(*arguments: str) -> tuple[int, str]:
        result = await asyncio.to_thread(
            CliRunner().invoke, app, ["tasks", *arguments], env=environment(service.settings)
        )
        return result.exit_code, result.output

    listed = await tasks("list", "--state", "dead", "--json")
    letters = [json.loads(line) for line in listed[1].splitlines()]
    dropped = await tasks("drop", letters[0]["id"])
    retried = await tasks("retry", "--all", "--kind", "process_image")
    nothing = await tasks("retry", letters[0]["id"])

    assert [letter["last_error"] for letter in letters] == ["decoder-timeout"] * 3
    assert dropped == (0, f"dropped {letters[0]['id']}\n")
    assert retried == (0, "retried 2\n")
    assert nothing == (1, "imagesvc: There is no such task\n")
    assert sorted(await images_of(service)) == ["failed", "pending", "pending"]
