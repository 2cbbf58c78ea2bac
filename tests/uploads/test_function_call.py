"""Records for calls of database functions have the parameters of the functions as fields."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from imagesvc.settings import Settings
from imagesvc.uploads import queries
from imagesvc.uploads.function_call import FunctionCall
from imagesvc.uploads.tus import queries as tus_queries

CALLS: dict[str, FunctionCall[Any, Any]] = {
    call.name: call
    for module in (queries, tus_queries)
    for call in vars(module).values()
    if isinstance(call, FunctionCall)
}

INPUTS = """
    SELECT array_agg(given.name ORDER BY given.place)
    FROM pg_proc p, unnest(p.proargnames, p.proargmodes) WITH ORDINALITY AS given (name, mode, place)
    WHERE p.proname = $1 AND p.pronamespace = 'public'::regnamespace AND coalesce(given.mode, 'i') = 'i'
"""


@pytest.fixture
async def connection(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    made = await asyncpg.connect(settings.database_url.get_secret_value())
    yield made
    await made.close()


@pytest.mark.parametrize("name", CALLS)
async def test_a_record_has_the_parameters_of_its_function_in_order(connection: asyncpg.Connection, name: str) -> None:
    assert await connection.fetchval(INPUTS, name) == list(CALLS[name].parameter_names)


@pytest.mark.parametrize("name", CALLS)
async def test_the_statement_of_a_call_can_be_prepared(connection: asyncpg.Connection, name: str) -> None:
    statement = await connection.prepare(CALLS[name].sql)

    assert len(statement.get_parameters()) == len(CALLS[name].parameter_names)


def test_parameters_are_passed_by_name_in_the_order_of_the_fields() -> None:
    @dataclasses.dataclass(frozen=True)
    class Copying:
        id: int
        from_: str

    @dataclasses.dataclass(frozen=True)
    class Copied:
        count: int
        size: int

    @dataclasses.dataclass(frozen=True)
    class Count:
        count: int

    table, value = FunctionCall("copy_rows", Copying, Copied), FunctionCall("count_rows", Copying, Count)

    assert table.sql == "SELECT count, size FROM copy_rows(f_id => $1, f_from => $2)"
    assert value.sql == "SELECT count FROM count_rows(f_id => $1, f_from => $2) AS count"
