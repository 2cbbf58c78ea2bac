"""Limits on concurrent uploads and their memory, with a bounded wait; refusals precede the body."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from imagesvc.uploads.errors import NoRoom
from imagesvc.uploads.limits import limits_table
from imagesvc.uploads.memory_budget import MemoryBudget
from tests.support.contract import openapi_document
from tests.support.images import jpeg
from tests.support.service import Service, running_service
from tests.support.wire import Connection, connected
from tests.uploads.test_batches import base64_of
from tests.uploads.ways_in import verdict

PICTURE = jpeg(seed=1, size=(64, 48))
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
MIB = 1024 * 1024


@pytest.fixture
async def narrow(settings_with: Callable[..., Settings], sandbox: Sandbox) -> AsyncIterator[Service]:
    """A service that takes one upload through a link and two by a user at once."""
    settings = settings_with(max_uploads_per_link=1, max_uploads_per_user=2)
    async with running_service(settings, sandbox, with_worker=False) as running:
        yield running


@pytest.fixture
async def small(settings_with: Callable[..., Settings], sandbox: Sandbox) -> AsyncIterator[Service]:
    """A service with memory for one large file, for which one request may wait a moment."""
    settings = settings_with(upload_memory_bytes=16 * MIB, upload_memory_wait_seconds=0.2, max_uploads_waiting=1)
    async with running_service(settings, sandbox, with_worker=False) as running:
        yield running


@contextlib.asynccontextmanager
async def under_way(service: Service, path: str, length: int, *headers: str) -> AsyncIterator[Connection]:
    """An upload that was let in and whose body has not come yet."""
    async with connected(service.url) as connection:
        method = "PUT" if path.startswith("/u/") else "POST"
        await connection.begin(method, path, f"Content-Length: {length}", "Expect: 100-continue", *headers)
        await connection.continued()
        yield connection


def bearer(service: Service) -> str:
    return f"Authorization: {service.owner.headers['authorization']}"


async def one_of_each_way(service: Service) -> list[httpx.Response]:
    """Uploads with the owner's credential."""
    owner = service.owner
    return [
        await owner.post("/v1/images", files=[("file", ("a.jpg", PICTURE))]),
        await owner.post("/v1/batches", json=[{"file": base64_of(PICTURE)}]),
        await owner.post("/v1/tus", content=PICTURE, headers=TUS | {"Upload-Length": str(len(PICTURE))}),
    ]


async def test_so_many_uploads_may_be_under_way_through_a_link_and_not_one_more(narrow: Service) -> None:
    link, other = await narrow.new_link(), await narrow.new_link()

    async with under_way(narrow, f"{link['path']}/a.jpg", len(PICTURE)) as first:
        refused = await narrow.anyone.put(f"{link['path']}/b.jpg", content=PICTURE)
        elsewhere = await narrow.anyone.put(f"{other['path']}/c.jpg", content=PICTURE)
        await first.send(PICTURE)
        taken = await first.answer()
    after = await narrow.anyone.put(f"{link['path']}/d.jpg", content=PICTURE)

    assert verdict(refused) == (429, "too-many-uploads")
    assert int(refused.headers["retry-after"]) >= 1
    assert (elsewhere.status_code, taken.status, after.status_code) == (201, 201, 200)


async def test_an_account_has_its_bound_over_all_ways_in(narrow: Service) -> None:
    headers = (bearer(narrow), "Content-Type: application/json")

    async with under_way(narrow, "/v1/batches", 100, *headers) as first:
        with_one = await one_of_each_way(narrow)
        async with under_way(narrow, "/v1/batches", 100, *headers) as second:
            with_two = await one_of_each_way(narrow)
            second.hang_up()
        first.hang_up()
    through_link = await narrow.anyone.put(f"{(await narrow.new_link())['path']}/a.jpg", content=PICTURE)

    assert [answer.status_code for answer in with_one] == [201, 202, 201]
    assert [verdict(answer) for answer in with_two] == [(429, "too-many-uploads")] * 3
    assert {answer.headers["retry-after"] for answer in with_two} == {"2"}
    assert through_link.status_code == 201


async def test_without_memory_an_upload_waits_and_is_then_503(small: Service) -> None:
    link = await small.new_link()

    async with under_way(small, f"{link['path']}/a.jpg", 20 * MIB) as first:
        refused = [await small.anyone.put(f"{link['path']}/b.jpg", content=PICTURE), *await one_of_each_way(small)]
        at_once = await asyncio.gather(
            *(small.anyone.put(f"{link['path']}/{number}.jpg", content=PICTURE) for number in range(3))
        )
        first.hang_up()
    after = await one_of_each_way(small)

    assert [verdict(answer) for answer in (*refused, *at_once)] == [(503, "no-room")] * 7
    assert {answer.headers["retry-after"] for answer in (*refused, *at_once)} == {"2"}
    assert [answer.status_code for answer in after] == [201, 202, 201]


async def test_an_upload_that_waits_for_memory_continues_when_it_is_free(
    settings_with: Callable[..., Settings], sandbox: Sandbox
) -> None:
    settings = settings_with(upload_memory_bytes=16 * MIB, upload_memory_wait_seconds=30.0)
    async with running_service(settings, sandbox, with_worker=False) as service:
        path = (await service.new_link())["path"]
        async with under_way(service, f"{path}/a.jpg", 20 * MIB) as first, connected(service.url) as second:
            headers = (f"Content-Length: {len(PICTURE)}", "Expect: 100-continue")
            await second.begin("PUT", f"{path}/b.jpg", *headers)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await second.continued()
            first.hang_up()
            await second.continued()
            await second.send(PICTURE)
            taken = await second.answer()

    assert taken.status == 201


REFUSED: dict[str, tuple[str, ...]] = {
    "POST /v1/images": (),
    "POST /v1/batches": (),
    "POST /v1/tus": ("Tus-Resumable: 1.0.0", "Upload-Length: 50000000", f"Content-Type: {TUS['Content-Type']}"),
    "PUT /u/forged/a.jpg": (),
    "POST /u/forged": (),
    "POST /u/forged/tus": ("Tus-Resumable: 1.0.0", "Upload-Length: 50000000", f"Content-Type: {TUS['Content-Type']}"),
}


@pytest.mark.parametrize("request_line", REFUSED)
async def test_an_upload_is_refused_before_its_body_is_requested(idle_service: Service, request_line: str) -> None:
    method, path = request_line.split()
    async with connected(idle_service.url) as connection:
        headers = REFUSED[request_line]
        await connection.begin(method, path, "Content-Length: 50000000", "Expect: 100-continue", *headers)
        answer = await connection.answer()

    assert (answer.status, answer.headers["content-type"]) == (401, "application/problem+json")


async def test_limits_are_shown_through_the_link_and_on_the_api_page(narrow: Service) -> None:
    link = await narrow.new_link(max_file_bytes=5000)

    limits: dict[str, Any] = (await narrow.anyone.get(link["path"])).json()["limits"]
    description: str = openapi_document()["info"]["description"]

    assert (limits["max_uploads_at_once"], limits["max_file_bytes"]) == (1, 5000)
    assert limits["min_bytes_per_second"] == narrow.settings.upload_min_bytes_per_second
    assert limits["max_file_seconds"] == narrow.settings.upload_max_seconds
    assert all(f"`{name}`" in description for name in limits)
    assert "| `max_uploads_at_once` | 2 |" in limits_table(narrow.settings)


async def test_memory_is_given_out_in_the_order_of_asking() -> None:
    budget, order = MemoryBudget(10, wait_seconds=30, max_waiting=5), list[str]()

    async def want(name: str, amount: int) -> None:
        async with budget.take(amount):
            order.append(name)

    async with budget.take(8):
        large = asyncio.create_task(want("large", 9))
        await asyncio.sleep(0)
        small = asyncio.create_task(want("small", 1))
        await asyncio.sleep(0)
        assert order == []
    await asyncio.gather(large, small)

    assert order == ["large", "small"]
    assert budget.taken_bytes == 0


async def test_a_cancelled_wait_lets_the_next_upload_pass() -> None:
    budget = MemoryBudget(10, wait_seconds=30, max_waiting=2)

    async def want(amount: int) -> None:
        async with budget.take(amount):
            pass

    async with budget.take(8):
        large = asyncio.create_task(want(9))
        await asyncio.sleep(0)
        small = asyncio.create_task(want(1))
        await asyncio.sleep(0)
        with pytest.raises(NoRoom):
            await want(1)
        large.cancel()
        await asyncio.wait_for(small, 10)

    assert budget.taken_bytes == 0


async def test_memory_granted_at_the_moment_of_cancellation_is_released() -> None:
    budget = MemoryBudget(10, wait_seconds=30, max_waiting=2)

    async def want() -> None:
        async with budget.take(10):
            pass

    async with budget.take(10):
        waiting = asyncio.create_task(want())
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert budget.taken_bytes == 0
    await asyncio.wait_for(want(), 10)
