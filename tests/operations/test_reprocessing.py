"""Reprocessing of stored images: exact, bounded, concurrent with uploads and deletions, and repeatable."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from typer.testing import CliRunner

from imagesvc.cli import app
from imagesvc.operations.blob_filter import BlobFilter, InvalidCondition
from imagesvc.operations.reprocessing import DERIVED_PARTS, Progress
from tests.support.bookkeeping import make_due, owned_keys, stored_keys
from tests.support.images import exif, jpeg, png
from tests.support.processes import environment, until
from tests.support.service import Service
from tests.support.sql import sql


async def send(service: Service, data: bytes) -> dict[str, Any]:
    answer = await service.owner.post("/v1/images", files=[("file", ("a", data))])
    result: dict[str, Any] = answer.json()["results"][0]
    return result


async def wait_for(service: Service, run_id: UUID) -> Progress:
    found: list[Progress] = []

    async def is_done() -> bool:
        progress = await service.background.reprocessings.progress(run_id)
        assert progress is not None
        found.append(progress)
        return progress.state == "done"

    await until(is_done)
    return found[-1]


async def reprocess(service: Service, *parts: Any, where: tuple[str, ...] = ()) -> Progress:
    return await wait_for(service, await service.background.reprocessings.start(parts, BlobFilter.parse(where)))


async def cameras(service: Service) -> dict[str, int]:
    found = (await service.owner.get("/v1/stats/cameras")).json()
    return {camera["model"]: camera["count"] for camera in found["cameras"]} | {"": found["cameras_unknown"]}


async def test_reprocessing_one_part_leaves_the_others_unchanged(service: Service) -> None:
    servers = service.background.servers
    sent = await send(service, jpeg(seed=1, size=(400, 300), exif=exif(model="Acme Cam 9")))
    other = await send(service, png(seed=2, size=(64, 48)))
    image, _ = await service.image_of(sent), await service.image_of(other)
    await service.owner.get(f"/v1/images/{image['id']}/renditions/full.jpg")
    await sql(service, "UPDATE images SET camera = 'Old Name', media_type = 'image/bmp', captured_local = NULL")
    await sql(service, "UPDATE blobs SET camera = 'Old Name', media_type = 'image/bmp', iso = 7, score = NULL")
    old = await stored_keys(servers)

    metadata = await reprocess(service, "metadata")
    after_metadata = (await service.owner.get(f"/v1/images/{image['id']}")).json()
    counted = (await cameras(service), (await service.owner.get("/v1/stats/formats")).json()["formats"])
    untouched = await stored_keys(servers)
    score = await reprocess(service, "score", where=("score_version<1",))
    none = await reprocess(service, "score", where=("score_version<1",))
    after_score = (await service.owner.get(f"/v1/images/{image['id']}")).json()
    await reprocess(service, "renditions", where=(f"image={image['id']}",))
    after_all = (await service.owner.get(f"/v1/images/{image['id']}")).json()
    thumb = await service.owner.get(f"/v1/images/{image['id']}/renditions/thumb.webp")
    await make_due(servers, "reaping")
    await service.background.reaper.reap()

    assert (metadata.total, metadata.done, metadata.failed) == (2, 2, 0)
    assert (after_metadata["media_type"], after_metadata["camera"]) == ("image/jpeg", image["camera"])
    assert (after_metadata["captured"], after_metadata["exposure"]) == (image["captured"], image["exposure"])
    assert after_metadata["score"] is None
    assert counted[0] == {"Acme Cam 9": 1, "": 1}
    assert {item["media_type"]: item["count"] for item in counted[1]} == {"image/jpeg": 1, "image/png": 1}
    assert untouched == old
    assert (score.done, none.total, none.done) == (2, 0, 0)
    assert after_score["score"] == image["score"]
    assert [item["preset"] for item in after_all["renditions"]] == ["thumb", "medium", "large"]
    assert thumb.status_code == 200
    assert len(await stored_keys(servers) & old) == 2 + 1
    assert await stored_keys(servers) == await owned_keys(servers)


async def test_concurrent_runs_uploads_and_deletions_leave_a_consistent_state(service: Service) -> None:
    servers, runs = service.background.servers, service.background.reprocessings
    sent = [
        await send(service, jpeg(seed=seed, size=(80, 60), exif=exif(model=f"Cam {seed % 3}"))) for seed in range(6)
    ]
    for image in sent:
        await service.image_of(image)
    first, same = await asyncio.gather(*(runs.start(DERIVED_PARTS, BlobFilter()) for _ in range(2)))
    other = await runs.start(["metadata", "score"], BlobFilter())

    async def delete_and_upload(seed: int) -> None:
        await service.owner.delete(f"/v1/images/{sent[seed]['image_id']}")
        await send(service, jpeg(seed=100 + seed, size=(80, 60), exif=exif(model="Cam 9")))

    await asyncio.gather(*(delete_and_upload(seed) for seed in range(0, 6, 3)))
    ended = [await wait_for(service, run) for run in (first, other)]

    async def is_quiet() -> bool:
        return await sql(service, "SELECT * FROM tasks") == []

    await until(is_quiet)
    await make_due(servers, "reaping", "held")
    await service.background.reaper.reap()

    assert first == same != other
    assert [run.failed for run in ended] == [0, 0]
    assert await cameras(service) == {"Cam 1": 2, "Cam 2": 2, "Cam 9": 2, "": 0}
    states = await sql(service, "SELECT state, count(*) AS n FROM images GROUP BY state")
    assert states == [{"state": "ready", "n": 6}]
    assert await stored_keys(servers) == await owned_keys(servers)


RENDITION = """
    INSERT INTO tasks (id, kind, blob_id, payload, dedupe_key)
    SELECT gen_random_uuid(), 'make_rendition', id, '{"preset": "full", "format": "jpg"}', 'test' FROM blobs
"""


@pytest.mark.parametrize("kind", ["reprocess", "make_rendition"])
async def test_blob_whose_last_image_goes_before_its_task_runs_leaves_nothing(service: Service, kind: str) -> None:
    servers, runs = service.background.servers, service.background.reprocessings
    image = await service.image_of(await send(service, jpeg(seed=1, size=(80, 60))))
    await service.stop_worker()
    if kind == "reprocess":
        await runs.start(DERIVED_PARTS, BlobFilter())
        assert await runs.plan() == 1
    else:
        await sql(service, RENDITION)
    await service.owner.delete(f"/v1/images/{image['id']}")
    service.start_worker()

    async def has_no_tasks() -> bool:
        return await sql(service, "SELECT * FROM tasks") == []

    await until(has_no_tasks)
    await make_due(servers, "reaping", "held")
    await service.background.reaper.reap()

    assert await sql(service, "SELECT * FROM blobs") == []
    assert await stored_keys(servers) == set()


async def test_few_tasks_are_queued_at_a_time_and_any_worker_continues_a_run(idle_service: Service) -> None:
    service, runs = idle_service, idle_service.background.reprocessings
    for seed in range(40):
        await send(service, jpeg(seed=seed, size=(32, 24)))
    await sql(service, "DELETE FROM tasks")
    await sql(service, "UPDATE blobs SET state = 'ready'")
    run_id = await runs.start(["metadata"], BlobFilter())

    async def waiting() -> int:
        return int((await sql(service, "SELECT count(*) AS n FROM tasks"))[0]["n"])

    made = [await runs.plan(), await runs.plan()]
    at_first = await waiting()
    await sql(service, "DELETE FROM tasks WHERE id IN (SELECT id FROM tasks ORDER BY id LIMIT 10)")
    made.append(await runs.plan())
    steps = await asyncio.gather(*(runs.plan() for _ in range(4)))
    found = await runs.progress(run_id)
    assert await runs.stop(run_id)
    await sql(service, "DELETE FROM tasks")
    stopped = await runs.plan()

    assert made == [16, 0, 10]
    assert at_first == 16
    assert sum(steps) == 0
    assert found is not None
    assert (found.total, found.done, found.failed, found.state) == (40, 10, 0, "running")
    assert (stopped, await runs.stop(run_id)) == (0, False)


async def test_failed_images_are_processed_from_the_start(idle_service: Service) -> None:
    service = idle_service
    failed, ready = await send(service, jpeg(seed=1, size=(64, 48))), await send(service, jpeg(seed=2, size=(64, 48)))
    await sql(service, "DELETE FROM tasks")
    for table, column in (("blobs", "id"), ("images", "blob_id")):
        blob = "(SELECT blob_id FROM images WHERE id = :i)"
        await sql(service, f"UPDATE {table} SET state = 'failed' WHERE {column} = {blob}", i=failed["image_id"])
    service.start_worker()

    progress = await reprocess(service, *DERIVED_PARTS, where=("state=failed",))
    image = await service.image_of(failed)

    assert (progress.total, progress.done) == (1, 1)
    assert (image["state"], len(image["renditions"])) == ("ready", 3)
    assert (await service.owner.get(f"/v1/images/{ready['image_id']}")).json()["state"] == "pending"


async def test_a_failed_reprocessing_is_a_dead_letter_and_does_not_change_the_image(service: Service) -> None:
    sent = await send(service, jpeg(seed=1, size=(64, 48)))
    image = await service.image_of(sent)
    for key in await stored_keys(service.background.servers):
        await service.background.servers.storage.delete(key)

    progress = await reprocess(service, "score")
    again = await reprocess(service, "score")

    dead = (await service.owner.get("/v1/ops/tasks", params={"kind": "reprocess"})).json()["items"]
    assert [(run.done, run.failed) for run in (progress, again)] == [(0, 1), (0, 1)]
    assert [(task["state"], task["last_error"]) for task in dead] == [("dead", "object-lost")]
    assert (await service.owner.get(f"/v1/images/{image['id']}")).json()["state"] == "ready"


async def test_the_command_line_starts_runs_and_shows_their_progress(service: Service) -> None:
    image = await service.image_of(await send(service, jpeg(seed=1, size=(64, 48))))

    async def command(*arguments: str) -> tuple[int, str]:
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment(service.settings))
        return result.exit_code, result.output

    rescored = await command("rescore", "--all")
    nothing = await command("rescore")
    detached = await command("reprocess", "--only", "metadata", "--where", f"image={image['id']}", "--detach")
    wrong = await command("reprocess", "--where", "1=1; DROP TABLE images")
    shown = await command("reprocess", "--status")

    assert rescored[0] == 0
    assert "done     1 of 1 done, 0 failed  score" in rescored[1]
    assert "0 of 0 done" in nothing[1]
    assert detached[0] == 0
    assert wrong[0] == 2
    assert wrong[1].startswith("imagesvc: '1=1; DROP TABLE images' is not a condition")
    assert detached[1].strip() in shown[1]
    assert len(shown[1].splitlines()) == 3


@pytest.mark.parametrize(
    "written",
    [
        "format=svg",
        "camera=a\0b",
        "state=pending",
        "score_version=1",
        "score_version<x",
        "uploaded_before=yesterday",
        "image=1",
        "camera<a",
        "sql=1",
        "",
    ],
)
def test_an_invalid_condition_is_refused(written: str) -> None:
    with pytest.raises(InvalidCondition):
        BlobFilter.parse([written])


def test_valid_conditions_are_parsed() -> None:
    found = BlobFilter.parse(
        ["format=jpeg", " camera = Canon EOS 80D ", "score_version<2", "uploaded_before=2026-11-01"]
    )

    assert (found.format, found.camera, found.score_version_below) == ("image/jpeg", "Canon EOS 80D", 2)
    assert found.uploaded_before is not None
    assert found.uploaded_before.isoformat() == "2026-11-01T00:00:00+00:00"
    with pytest.raises(InvalidCondition):
        BlobFilter.parse(["format=jpeg", "format=png"])
