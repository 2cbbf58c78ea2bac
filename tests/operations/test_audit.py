"""The audit of tables and bucket: it reports all differences and no others while uploads run, and repairs them."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from typer.testing import CliRunner

from imagesvc.cli import app
from imagesvc.operations.audit import Auditor, Finding
from imagesvc.operations.audit_queries import key_columns
from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from imagesvc.storage.bucket import new_key
from tests.support.bookkeeping import make_due, owned_keys, stored_keys
from tests.support.images import jpeg
from tests.support.processes import environment, until
from tests.support.service import Service, running_service
from tests.support.sql import sql

FOREVER = float("inf")


async def send(service: Service, seed: int, *, size: tuple[int, int] = (40, 30)) -> dict[str, Any]:
    file = ("file", (f"{seed}.jpg", jpeg(seed=seed, size=size)))
    result: dict[str, Any] = (await service.owner.post("/v1/images", files=[file])).json()["results"][0]
    return result


async def put(service: Service, key: str, body: bytes) -> None:
    await service.background.servers.storage.put(key, body, media_type="image/jpeg", until=FOREVER)


async def audit(service: Service, **options: Any) -> list[Finding]:
    servers = service.background.servers
    auditor = Auditor(servers.database, servers.storage, **{"fix": False, **options})
    return [finding async for step in auditor.run(await auditor.start()) for finding in step.findings]


async def keys_of(service: Service, what: str) -> list[str]:
    return [row["key"] for row in await sql(service, f"SELECT key FROM {what}")]


async def test_all_differences_and_no_others_are_found_while_uploads_run(idle_service: Service) -> None:
    service, storage = idle_service, idle_service.background.servers.storage
    for seed in range(45):
        await send(service, seed)
    keys = await keys_of(service, "blobs ORDER BY key")
    missing, corrupt = set(keys[:20]), set(keys[20:40])
    stray = {new_key("o") for _ in range(18)} | {"stray", "elsewhere/stray.jpg"}
    for key in missing:
        await storage.delete(key)
    for key in corrupt:
        size = await storage.size(key)
        assert size is not None
        await put(service, key, bytes(size))
    for key in stray:
        await put(service, key, b"stray")
    running, rounds = True, 0

    async def keep_uploading(first: int) -> None:
        nonlocal rounds
        for seed in range(first, first + 1000):
            if not running:
                return
            sent = await send(service, seed)
            if seed % 2:
                await service.owner.delete(f"/v1/images/{sent['image_id']}")
                await service.background.reaper.reap()
            rounds += 1

    uploading = [asyncio.create_task(keep_uploading(first)) for first in (1000, 2000)]
    found = await audit(service)
    during = rounds
    running = False
    await asyncio.gather(*uploading)

    by_kind = {
        kind: {finding.key for finding in found if finding.kind == kind}
        for kind in ("missing", "corrupt", "unaccounted")
    }
    assert len(found) == 60
    assert by_kind == {"missing": missing, "corrupt": corrupt, "unaccounted": stray}
    assert during > 0
    assert not any(finding.is_fixed for finding in found)


async def test_a_fixing_audit_repairs_every_kind_of_difference(service: Service) -> None:
    servers, storage = service.background.servers, service.background.servers.storage
    size = (1100, 825)
    sent = [await send(service, seed, size=size) for seed in range(4)]
    for image in sent:
        await service.image_of(image)
    blobs = await sql(service, "SELECT b.id, b.key FROM blobs b JOIN images i ON i.blob_id = b.id ORDER BY i.id")
    renditions = await sql(service, "SELECT key, preset FROM renditions WHERE blob_id = :b", b=blobs[2]["id"])
    await storage.delete(blobs[0]["key"])
    await put(service, blobs[1]["key"], b"damaged")
    await storage.delete(renditions[0]["key"])
    await put(service, renditions[1]["key"], b"damaged")
    of_lost = await sql(service, "SELECT key FROM renditions WHERE blob_id = :b LIMIT 1", b=blobs[0]["id"])
    await storage.delete(of_lost[0]["key"])
    stray = new_key("r")
    await put(service, stray, b"stray")

    found = await audit(service, fix=True)
    gone = [await service.owner.get(f"/v1/images/{image['image_id']}/original") for image in sent[:2]]
    healed = [await send(service, seed, size=size) for seed in range(2)]
    again = [await service.owner.get(f"/v1/images/{image['image_id']}/original") for image in healed]

    async def is_quiet() -> bool:
        return await sql(service, "SELECT * FROM tasks") == []

    await until(is_quiet)
    await make_due(servers, "held", "reaping")
    await service.background.reaper.reap()
    after = await audit(service)

    assert Counter(finding.kind for finding in found) == {"missing": 3, "corrupt": 2, "unaccounted": 1}
    assert all(finding.is_fixed for finding in found)
    assert [answer.status_code for answer in gone] == [503, 503]
    assert [answer.content for answer in again] == [jpeg(seed=seed, size=size) for seed in range(2)]
    # no rendition can be made from a missing original
    assert len(await keys_of(service, "renditions")) == 11
    assert not {renditions[0]["key"], renditions[1]["key"]} & set(await keys_of(service, "renditions"))
    assert after == []
    assert await stored_keys(servers) == await owned_keys(servers)


async def test_the_keys_of_running_uploads_are_no_findings(idle_service: Service) -> None:
    service = idle_service
    held, tail = new_key("o"), new_key("t")
    await put(service, held, b"incoming")
    await put(service, tail, b"tail")
    await sql(service, "INSERT INTO loose_objects (key, state, not_before) VALUES (:k, 'held', now())", k=held)
    await sql(
        service,
        "INSERT INTO resumable_uploads (id, owner_id, length, metadata, context, tail_key, tail_bytes, expires_at)"
        " SELECT gen_random_uuid(), id, 100, '', '{}', :tail, 7, now() + interval '1 day' FROM users LIMIT 1",
        tail=tail,
    )

    assert await audit(service, fix=True) == []
    assert await stored_keys(service.background.servers) == {held, tail}


async def test_a_lost_object_that_exists_again_is_marked_as_present(idle_service: Service) -> None:
    service, storage = idle_service, idle_service.background.servers.storage
    sent = await send(service, 1)
    (key,) = await keys_of(service, "blobs")
    await storage.delete(key)
    lost = await audit(service, fix=True)
    still = await audit(service, fix=True)
    await put(service, key, jpeg(seed=1, size=(40, 30)))

    back = await audit(service, fix=True)

    assert [finding.kind for finding in (*lost, *back)] == ["missing", "back"]
    assert still == []
    assert (await service.owner.get(f"/v1/images/{sent['image_id']}/original")).status_code == 200


async def test_a_sample_of_zero_checks_only_existence_and_size(idle_service: Service) -> None:
    service = idle_service
    await send(service, 1)
    await send(service, 2)
    same, other = await keys_of(service, "blobs ORDER BY key")
    size = await service.background.servers.storage.size(same)
    assert size is not None
    await put(service, same, bytes(size))
    await put(service, other, b"shorter")

    found = await audit(service, sample_percent=0)

    assert [(finding.kind, finding.key) for finding in found] == [("corrupt", other)]


async def test_an_interrupted_audit_resumes_where_it_stopped(idle_service: Service) -> None:
    service, servers = idle_service, idle_service.background.servers
    stray = new_key("r")
    for key in (new_key("o"), stray):
        await put(service, key, b"stray")
    auditor = Auditor(servers.database, servers.storage, fix=False)
    async for step in auditor.run(await auditor.start()):
        if step.findings:
            break

    async def command(*arguments: str) -> tuple[int, str]:
        result = await asyncio.to_thread(
            CliRunner().invoke, app, ["audit", "--json", *arguments], env=environment(service.settings)
        )
        return result.exit_code, result.stdout

    code, printed = await command("--resume")
    nothing_left, _ = await command("--resume")

    assert [finding.kind for finding in step.findings] == ["unaccounted"]
    assert (code, [json.loads(line)["key"] for line in printed.splitlines()]) == (1, [stray])
    assert nothing_left == 1
    assert (await command("--fix"))[0] == 0
    assert await sql(service, "SELECT count(*) AS n FROM loose_objects WHERE state = 'reaping'") == [{"n": 2}]


async def test_the_audit_knows_every_column_with_object_keys(idle_service: Service) -> None:
    columns = await sql(
        idle_service,
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND data_type = 'text' AND column_name ~ 'key$'"
        " AND column_name <> 'dedupe_key'",
    )

    assert {(column["table_name"], column["column_name"]) for column in columns} == set(key_columns())
    assert {("blobs", "key"), ("loose_objects", "key"), ("resumable_uploads", "tail_key")} <= set(key_columns())


async def test_a_paused_reaper_deletes_nothing(settings_with: Callable[..., Settings], sandbox: Sandbox) -> None:
    async with running_service(settings_with(reaper_paused=True, reap_seconds=0.05), sandbox) as service:
        image = (await service.image_of(await send(service, 1)))["id"]
        before = await stored_keys(service.background.servers)
        await service.owner.delete(f"/v1/images/{image}")
        # by the time this is processed, the reaper would have run many times
        await service.image_of(await send(service, 2))

        assert before < await stored_keys(service.background.servers)
        assert {row["state"] for row in await sql(service, "SELECT state FROM loose_objects")} == {"reaping"}
