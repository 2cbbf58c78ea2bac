"""S3, PostgreSQL and Valkey fail during uploads of every way.

Clients get 503 with Retry-After, no partial results remain, and the service recovers within ten seconds without a
restart.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import text

from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from imagesvc.wiring import open_background
from imagesvc.worker import work
from tests.faults.proxied_service import WAYS, ProxiedService, is_accepted, is_postponed, proxied_service
from tests.support.fault_proxy import http_error
from tests.support.processes import until

WAY_COUNT = len(WAYS)


@pytest.fixture
async def proxied(settings: Settings) -> AsyncIterator[ProxiedService]:
    async with proxied_service(settings) as running:
        yield running


def disconnect(proxied: ProxiedService) -> None:
    proxied.s3.refuse_connections()


def throttle(proxied: ProxiedService) -> None:
    proxied.s3.instead = http_error(503, "SlowDown")


def fill_up(proxied: ProxiedService) -> None:
    proxied.s3.instead = http_error(507, "XMinioStorageFull")


def cut_uploads(proxied: ProxiedService) -> None:
    """Cuts the connections in the middle of the large files."""
    proxied.s3.cut_after(10_000_000)


@pytest.mark.parametrize("fail", [disconnect, throttle, fill_up, cut_uploads])
async def test_while_s3_fails_uploads_get_503_and_leave_no_visible_rows(
    proxied: ProxiedService, fail: Callable[[ProxiedService], None]
) -> None:
    fail(proxied)
    answers = await proxied.send_every_way(100)
    images, _ = await proxied.visible()
    proxied.s3.remove_faults()
    await proxied.require_recovery(200)

    assert all(is_accepted(answer) or is_postponed(answer) for answer in answers.values())
    assert images == sum(map(is_accepted, answers.values())) < WAY_COUNT
    assert await proxied.is_consistent()


async def test_a_lost_answer_of_s3_loses_no_upload(proxied: ProxiedService) -> None:
    """S3 joins the parts but every answer is lost: the API then checks whether the object exists."""
    proxied.s3.drop_responses_to(rb"POST /[^ ]+\?uploadId=")

    answer = await proxied.send("large_raw", 100)

    assert is_accepted(answer)
    assert proxied.s3.dropped_responses > 1
    assert await proxied.is_consistent()


async def test_a_slow_s3_only_delays_uploads(proxied: ProxiedService) -> None:
    proxied.s3.delay_seconds = 0.005

    answers = await proxied.send_every_way(100)

    assert all(map(is_accepted, answers.values()))
    assert await proxied.is_consistent()


async def test_while_the_database_restarts_uploads_get_503_and_then_succeed(proxied: ProxiedService) -> None:
    await proxied.send_every_way(100)
    sending = asyncio.create_task(proxied.send_every_way(200))
    await asyncio.sleep(0)
    proxied.postgres.refuse_connections()
    interrupted, during = await sending, await proxied.send_every_way(300)
    proxied.postgres.remove_faults()
    await proxied.require_recovery(400)

    assert all(map(is_postponed, during.values()))
    assert all(is_accepted(answer) or is_postponed(answer) for answer in interrupted.values())
    assert await proxied.is_consistent()


@pytest.mark.parametrize("sent", [2_000, 8_000, 14_000])
async def test_a_broken_database_connection_leaves_complete_images_or_none(proxied: ProxiedService, sent: int) -> None:
    proxied.postgres.cut_after(sent)
    answers = await proxied.send_every_way(100)
    proxied.postgres.remove_faults()
    await proxied.require_recovery(200)

    assert all(is_accepted(answer) or is_postponed(answer) for answer in answers.values())
    assert await proxied.is_consistent()


async def test_a_silent_database_delays_requests_only_briefly(settings: Settings) -> None:
    limits = {"database_pool": 1, "database_pool_wait_seconds": 0.2, "database_statement_seconds": 1.0}
    async with proxied_service(settings, **limits) as proxied:
        proxied.postgres.stall()
        async with asyncio.timeout(30):
            answers = await asyncio.gather(*(proxied.send("raw", seed) for seed in range(4)))
        proxied.postgres.remove_faults()
        await proxied.require_recovery(200, "raw")

        assert all(map(is_postponed, answers))
        assert {answer.json()["type"] for answer in answers if answer is not None} == {"/problems/database-busy"}
        assert await proxied.is_consistent()


async def test_a_lock_that_is_held_too_long_makes_an_upload_answer_503(settings: Settings) -> None:
    async with proxied_service(settings, database_statement_seconds=0.3) as proxied:
        async with proxied.servers.database.engine.begin() as connection:
            await connection.execute(text("LOCK TABLE images IN ACCESS EXCLUSIVE MODE"))
            answers = [await proxied.send(way, 100) for way in ("raw", "multipart")]
        after = [await proxied.send(way, 100) for way in ("raw", "multipart")]

        assert all(map(is_postponed, answers))
        assert all(map(is_accepted, after))
        assert await proxied.is_consistent()


@pytest.mark.parametrize("fail", [lambda valkey: valkey.refuse_connections(), lambda valkey: valkey.stall()])
async def test_without_valkey_uploads_are_accepted_and_processed(
    proxied: ProxiedService, sandbox: Sandbox, fail: Callable[[object], None]
) -> None:
    fail(proxied.valkey)
    answers = await proxied.send_every_way(100)
    proxied.valkey.remove_faults()

    async def all_are_ready() -> bool:
        found = (await proxied.owner.get("/v1/images", params={"state": "ready"})).json()["items"]
        return len(found) == WAY_COUNT

    assert all(map(is_accepted, answers.values()))
    async with open_background(proxied.settings, sandbox) as background:
        working = asyncio.create_task(work(background))
        await until(all_are_ready)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
