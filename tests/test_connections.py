"""Plain connections: bounded, waited for, and none is used again on which a statement was cut off."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
import pytest

from imagesvc.connections import AllBusy, Connections
from imagesvc.db import CONNECTION_GONE

WAIT_SECONDS = 20.0


@pytest.fixture
async def connections(database_url: str) -> AsyncIterator[Connections]:
    made = Connections(lambda: asyncpg.connect(database_url), most=2, wait_seconds=WAIT_SECONDS)
    yield made
    await made.close()


@pytest.fixture
async def only_one(database_url: str) -> AsyncIterator[Connections]:
    made = Connections(lambda: asyncpg.connect(database_url), most=1, wait_seconds=WAIT_SECONDS)
    yield made
    await made.close()


async def backend(connections: Connections, *, seconds: float = 0.0) -> int:
    """Which of the server's processes answers; it takes ``seconds``."""
    row = await connections.fetch_row("SELECT pg_backend_pid() AS pid, pg_sleep($1)", (seconds,))
    return int(row["pid"])


async def test_no_more_connections_are_opened_than_allowed_and_the_others_wait(connections: Connections) -> None:
    pids = await asyncio.gather(*(backend(connections, seconds=0.02) for _ in range(10)))

    assert len(set(pids)) == 2


async def test_the_connection_used_last_is_used_first(connections: Connections) -> None:
    await asyncio.gather(*(backend(connections, seconds=0.02) for _ in range(2)))

    pids = [await backend(connections) for _ in range(4)]

    assert len(set(pids)) == 1


async def test_who_waits_too_long_for_a_connection_is_told_and_the_next_is_served(database_url: str) -> None:
    hurried = Connections(lambda: asyncpg.connect(database_url), most=1, wait_seconds=0.05)
    working = asyncio.create_task(backend(hurried, seconds=1.0))
    await asyncio.sleep(0)

    with pytest.raises(AllBusy):
        await backend(hurried)
    first = await working

    assert await backend(hurried) == first
    await hurried.close()


async def test_a_statement_that_fails_leaves_its_connection_usable(only_one: Connections) -> None:
    before = await backend(only_one)

    with pytest.raises(asyncpg.DivisionByZeroError):
        await only_one.fetch_row("SELECT 1 / $1::int", (0,))
    with pytest.raises(asyncpg.DataError):
        await only_one.fetch_row("SELECT $1::int", ("no number",))

    assert await backend(only_one) == before


async def test_a_connection_is_not_used_again_after_a_statement_on_it_was_cut_off(only_one: Connections) -> None:
    before = await backend(only_one)
    cut_off = asyncio.create_task(backend(only_one, seconds=60.0))
    waiting = asyncio.create_task(backend(only_one))
    await asyncio.sleep(0)

    cut_off.cancel()
    after = await waiting

    assert after != before
    assert await backend(only_one) == after


async def test_who_gives_up_waiting_takes_no_connection_along(only_one: Connections) -> None:
    working = asyncio.create_task(backend(only_one, seconds=0.05))
    gives_up = asyncio.create_task(backend(only_one))
    waits = asyncio.create_task(backend(only_one))
    await asyncio.sleep(0)

    gives_up.cancel()

    assert await waits == await working


async def test_a_connection_that_cannot_be_opened_leaves_room_for_another(database_url: str) -> None:
    attempts = 0

    async def sometimes() -> asyncpg.Connection:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise ConnectionRefusedError
        return await asyncpg.connect(database_url)

    unlucky = Connections(sometimes, most=1, wait_seconds=WAIT_SECONDS)
    with pytest.raises(ConnectionRefusedError):
        await backend(unlucky)

    assert await backend(unlucky) > 0
    await unlucky.close()


async def test_a_connection_that_the_server_closed_is_replaced(only_one: Connections, database_url: str) -> None:
    before = await backend(only_one)
    other = await asyncpg.connect(database_url)
    await other.execute("SELECT pg_terminate_backend($1)", before)
    await other.close()

    after = before
    async with asyncio.timeout(WAIT_SECONDS):
        while after == before:
            with contextlib.suppress(*CONNECTION_GONE):
                after = await backend(only_one)

    assert after != before


async def test_what_is_in_use_at_the_close_is_closed_at_its_end(only_one: Connections, database_url: str) -> None:
    working = asyncio.create_task(backend(only_one, seconds=0.05))
    await asyncio.sleep(0)

    await only_one.close()
    pid = await working

    other = await asyncpg.connect(database_url)
    async with asyncio.timeout(WAIT_SECONDS):
        while await other.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid):
            await asyncio.sleep(0.01)
    await other.close()
