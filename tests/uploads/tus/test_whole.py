"""Uploads whose bytes all come in one request: received in one pass, and nothing is left of one that fails."""

import asyncio
from collections.abc import AsyncIterator, Callable
from hashlib import sha256

import pytest

from imagesvc.metrics.exposition import MetricsPage
from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from tests.support.images import jpeg
from tests.support.processes import until
from tests.support.scrape import Scrape
from tests.support.service import Service, running_service
from tests.support.sql import sql
from tests.support.traces import NOTHING, traces
from tests.support.wire import connected
from tests.uploads.tus.test_ends import reserved, what_is_left
from tests.uploads.tus.tus import MIB, OFFSET_STREAM, metadata, of_link, of_user, verdict

DATA = jpeg(seed=1, size=(64, 48))


@pytest.fixture
async def small_parts(settings_with: Callable[..., Settings], sandbox: Sandbox) -> AsyncIterator[Service]:
    """A service whose memory holds 5 MiB of a file."""
    async with running_service(settings_with(part_bytes=5 * MIB), sandbox, with_worker=False) as running:
        yield running


async def test_the_result_is_that_of_any_finished_upload(idle_service: Service) -> None:
    tus = of_user(idle_service)

    created = await tus.create(len(DATA), DATA, Upload_Metadata=metadata(filename="a.jpg", title="A"))
    again = await tus.create(len(DATA), DATA)
    reported = await tus.head(created.headers["location"])
    at_end = await tus.patch(created.headers["location"], len(DATA), b"")
    deleted = await tus.delete(created.headers["location"])
    image = (await idle_service.owner.get(created.headers["imagesvc-url"])).json()

    assert [answer.headers["imagesvc-status"] for answer in (created, again, reported)] == [
        "created",
        "duplicate",
        "created",
    ]
    for name in ("upload-offset", "imagesvc-upload-id", "imagesvc-image-id", "imagesvc-url"):
        assert created.headers[name] == reported.headers[name]
    assert (reported.headers["upload-length"], reported.headers["upload-metadata"]) == (
        str(len(DATA)),
        metadata(filename="a.jpg", title="A"),
    )
    assert (at_end.status_code, deleted.status_code) == (204, 204)
    assert (image["sha256"], image["title"]) == (sha256(DATA).hexdigest(), "A")
    assert image["uploads"][0]["way"] == "tus"


async def test_it_takes_no_turn_no_task_and_no_tail(idle_service: Service) -> None:
    await of_user(idle_service).create(len(DATA), DATA)

    [row] = await sql(idle_service, "SELECT * FROM resumable_uploads")
    tasks = await sql(idle_service, "SELECT kind FROM tasks")

    assert (row["state"], row["epoch"], row["tail_key"], row["parts"]) == ("done", 1, None, [])
    assert [task["kind"] for task in tasks] == ["process_image"]
    left = await what_is_left(idle_service)
    assert (left["objects"], left["uploads"]) == (1, 1)


async def test_a_link_counts_it_once(idle_service: Service) -> None:
    tus, link = await of_link(idle_service, max_files=2)

    taken = [await tus.create(len(data), data) for data in (jpeg(seed=seed, size=(64, 48)) for seed in range(3))]

    assert [answer.status_code for answer in taken[:2]] == [201, 201]
    assert verdict(taken[2]) == (410, "link-used-up")
    assert "imagesvc-image-id" not in taken[0].headers
    assert await reserved(idle_service, link) == (0, 0)


@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"no picture" * 100, (415, "unsupported-media-type")), (DATA, (422, "digest-mismatch"))],
)
async def test_nothing_is_left_of_one_that_is_refused(
    idle_service: Service, data: bytes, problem: tuple[int, str]
) -> None:
    tus, link = await of_link(idle_service, max_files=1)

    refused = await tus.create(len(data), data, Upload_Metadata=metadata(sha256="0" * 64))

    assert verdict(refused) == problem
    assert "location" not in refused.headers
    assert await reserved(idle_service, link) == (0, 0)
    assert await what_is_left(idle_service) == NOTHING
    assert await sql(idle_service, "SELECT id FROM resumable_uploads") == []


async def test_nothing_is_left_of_one_whose_connection_breaks(idle_service: Service) -> None:
    tus, link = await of_link(idle_service, max_files=1)
    headers = ("Tus-Resumable: 1.0.0", f"Upload-Length: {len(DATA)}", f"Content-Type: {OFFSET_STREAM}")

    async with connected(idle_service.url) as connection:
        await connection.begin("POST", tus.path, f"Content-Length: {len(DATA)}", "Expect: 100-continue", *headers)
        await connection.continued()
        await connection.send(DATA[:500])

    async def is_taken() -> bool:
        return (await tus.create(len(DATA), DATA)).status_code == 201

    await until(is_taken)
    assert await reserved(idle_service, link) == (0, 0)
    assert len(await sql(idle_service, "SELECT id FROM resumable_uploads")) == 1
    assert (await what_is_left(idle_service))["objects"] == 1


async def test_one_of_many_with_the_same_content_stores_it(idle_service: Service) -> None:
    tus = of_user(idle_service)

    answers = await asyncio.gather(*(tus.create(len(DATA), DATA) for _ in range(8)))

    assert {answer.status_code for answer in answers} == {201}
    assert sorted(answer.headers["imagesvc-status"] for answer in answers) == ["created"] + ["duplicate"] * 7
    left = await what_is_left(idle_service)
    assert (left["objects"], left["uploads"], left["images"]) == (1, 8, 1)


async def test_one_that_memory_does_not_hold_or_that_declares_no_size_can_be_resumed(small_parts: Service) -> None:
    tus = of_user(small_parts)
    at, over = (DATA + bytes(5 * MIB + more - len(DATA)) for more in (0, 1))

    async def chunked() -> AsyncIterator[bytes]:
        yield DATA

    await tus.create(len(at), at)
    await tus.create(len(over), over)
    headers = tus.sent_headers | {"Upload-Length": str(len(DATA)), "Content-Type": OFFSET_STREAM}
    await tus.client.post(tus.path, content=chunked(), headers=headers)

    rows = await sql(small_parts, "SELECT length, epoch, state FROM resumable_uploads ORDER BY id")
    # the epoch of an upload that a request took a turn of is higher
    assert [(row["length"], row["epoch"] > 1, row["state"]) for row in rows] == [
        (len(at), False, "done"),
        (len(over), True, "done"),
        (len(DATA), True, "done"),
    ]
    assert (await traces(small_parts))["uploads"] == 3


async def objects_read() -> float:
    page = Scrape((await MetricsPage().text()).decode())
    return page.of("imagesvc_s3_requests_total", operation="GetObject")


@pytest.mark.parametrize("size", [len(DATA), 6 * MIB], ids=["a tail", "parts"])
async def test_a_file_that_one_patch_brings_is_not_read_again(small_parts: Service, size: int) -> None:
    tus, data = of_user(small_parts), DATA + bytes(size - len(DATA))
    location = (await tus.create(size, Upload_Metadata=metadata(sha256=sha256(data).hexdigest()))).headers["location"]
    before = await objects_read()

    finished = await tus.patch(location, 0, data)

    assert await objects_read() == before
    assert (finished.status_code, finished.headers["imagesvc-status"]) == (204, "created")
    image = (await small_parts.owner.get(finished.headers["imagesvc-url"])).json()
    assert (image["sha256"], image["bytes"]) == (sha256(data).hexdigest(), size)
    left = await what_is_left(small_parts)
    assert (left["objects"], left["uploads"]) == (1, 1)
    assert [task["kind"] for task in await sql(small_parts, "SELECT kind FROM tasks")] == ["process_image"]


async def test_a_file_that_two_patches_bring_is_read_to_hash_it(idle_service: Service) -> None:
    tus = of_user(idle_service)
    location = (await tus.create(len(DATA))).headers["location"]
    await tus.patch(location, 0, DATA[:500])
    before = await objects_read()

    finished = await tus.patch(location, 500, DATA[500:])

    image = (await idle_service.owner.get(finished.headers["imagesvc-url"])).json()
    assert image["sha256"] == sha256(DATA).hexdigest()
    assert await objects_read() == before + 2  # the first tail, and the whole file


@pytest.mark.parametrize("size", [len(DATA), 6 * MIB], ids=["a tail", "parts"])
async def test_one_patch_with_another_hash_than_declared_leaves_nothing(small_parts: Service, size: int) -> None:
    tus, link = await of_link(small_parts, max_files=1)
    location = (await tus.create(size, Upload_Metadata=metadata(sha256="0" * 64))).headers["location"]

    refused = await tus.patch(location, 0, DATA + bytes(size - len(DATA)))

    assert verdict(refused) == (422, "digest-mismatch")
    assert await reserved(small_parts, link) == (0, 0)
    left = await what_is_left(small_parts)
    assert (left["uploads"], left["images"], left["blobs"]) == (0, 0, 0)
