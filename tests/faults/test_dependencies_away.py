"""S3, PostgreSQL and Valkey fail in the middle of uploads by every way in: come again later, nothing half-done, and the
service recovers by itself within ten seconds."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import text

from imagesvc.processing.sandbox import Sandbox
from imagesvc.settings import Settings
from imagesvc.wiring import open_background
from imagesvc.worker import work
from tests.faults.stage import WAYS, Stage, is_put_off, is_taken, staged
from tests.support.fault_proxy import http_error
from tests.support.processes import until

BY_EVERY_WAY = len(WAYS)


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with staged(settings) as running:
        yield running


def go_away(stage: Stage) -> None:
    stage.s3.go_away()


def be_busy(stage: Stage) -> None:
    stage.s3.instead = http_error(503, "SlowDown")


def be_full(stage: Stage) -> None:
    stage.s3.instead = http_error(507, "XMinioStorageFull")


def break_off(stage: Stage) -> None:
    """In the middle of the large files."""
    stage.s3.cut_after(10_000_000)


@pytest.mark.parametrize("fail", [go_away, be_busy, be_full, break_off])
async def test_while_the_store_fails_uploads_are_put_off_and_nothing_of_them_is_seen(
    stage: Stage, fail: Callable[[Stage], None]
) -> None:
    fail(stage)
    answers = await stage.send_by_every_way(100)
    images, _ = await stage.visible()
    stage.s3.heal()
    await stage.recovers(200)

    assert all(is_taken(answer) or is_put_off(answer) for answer in answers.values())
    assert images == sum(map(is_taken, answers.values())) < BY_EVERY_WAY
    assert await stage.is_whole()


async def test_a_store_that_forgets_to_answer_costs_no_upload(stage: Stage) -> None:
    """The parts are made one object, and the word of it is lost, at every attempt: settled by looking."""
    stage.s3.leave_unanswered(rb"POST /[^ ]+\?uploadId=")

    answer = await stage.send("large_raw", 100)

    assert is_taken(answer)
    assert stage.s3.times_unanswered > 1
    assert await stage.is_whole()


async def test_a_slow_store_delays_and_changes_nothing(stage: Stage) -> None:
    stage.s3.delay_seconds = 0.005

    answers = await stage.send_by_every_way(100)

    assert all(map(is_taken, answers.values()))
    assert await stage.is_whole()


async def test_while_the_database_restarts_uploads_are_put_off_and_go_on_afterwards(stage: Stage) -> None:
    await stage.send_by_every_way(100)
    sending = asyncio.create_task(stage.send_by_every_way(200))
    await asyncio.sleep(0)
    stage.postgres.go_away()
    in_the_middle, during = await sending, await stage.send_by_every_way(300)
    stage.postgres.heal()
    await stage.recovers(400)

    assert all(map(is_put_off, during.values()))
    assert all(is_taken(answer) or is_put_off(answer) for answer in in_the_middle.values())
    assert await stage.is_whole()


@pytest.mark.parametrize("sent", [2_000, 8_000, 14_000])
async def test_a_database_that_breaks_off_leaves_whole_images_or_none(stage: Stage, sent: int) -> None:
    stage.postgres.cut_after(sent)
    answers = await stage.send_by_every_way(100)
    stage.postgres.heal()
    await stage.recovers(200)

    assert all(is_taken(answer) or is_put_off(answer) for answer in answers.values())
    assert await stage.is_whole()


async def test_a_silent_database_holds_nobody_up_for_long(settings: Settings) -> None:
    limits = {"database_pool": 1, "database_pool_wait_seconds": 0.2, "database_statement_seconds": 1.0}
    async with staged(settings, **limits) as stage:
        stage.postgres.fall_silent()
        async with asyncio.timeout(30):
            answers = await asyncio.gather(*(stage.send("raw", seed) for seed in range(4)))
        stage.postgres.heal()
        await stage.recovers(200, "raw")

        assert all(map(is_put_off, answers))
        assert {answer.json()["type"] for answer in answers if answer is not None} == {"/problems/database-busy"}
        assert await stage.is_whole()


async def test_a_lock_that_is_held_for_too_long_puts_an_upload_off(settings: Settings) -> None:
    async with staged(settings, database_statement_seconds=0.3) as stage:
        async with stage.servers.database.engine.begin() as connection:
            await connection.execute(text("LOCK TABLE images IN ACCESS EXCLUSIVE MODE"))
            answers = [await stage.send(way, 100) for way in ("raw", "multipart")]
        after = [await stage.send(way, 100) for way in ("raw", "multipart")]

        assert all(map(is_put_off, answers))
        assert all(map(is_taken, after))
        assert await stage.is_whole()


@pytest.mark.parametrize("fail", [lambda valkey: valkey.go_away(), lambda valkey: valkey.fall_silent()])
async def test_without_valkey_uploads_are_taken_and_processed_all_the_same(
    stage: Stage, sandbox: Sandbox, fail: Callable[[object], None]
) -> None:
    fail(stage.valkey)
    answers = await stage.send_by_every_way(100)
    stage.valkey.heal()

    async def all_are_ready() -> bool:
        found = (await stage.owner.get("/v1/images", params={"state": "ready"})).json()["items"]
        return len(found) == BY_EVERY_WAY

    assert all(map(is_taken, answers.values()))
    async with open_background(stage.settings, sandbox) as background:
        working = asyncio.create_task(work(background))
        await until(all_are_ready)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
