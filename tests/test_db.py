"""Typed rows: a statement's columns become the fields of a frozen dataclass."""

import dataclasses
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.exc import NoResultFound

from imagesvc.db import Database
from imagesvc.settings import Settings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NumberedName:
    number: int
    name: object


ROWS = "SELECT number, CASE number WHEN 2 THEN 'two' END AS name FROM generate_series(1, $1::int) AS number"


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    made = Database(settings)
    yield made
    await made.close()


async def test_fetch_one_returns_the_first_row_as_the_given_class(database: Database) -> None:
    assert await database.fetch_one(ROWS, NumberedName, 2) == NumberedName(number=1, name=None)


async def test_fetch_one_raises_without_a_row(database: Database) -> None:
    with pytest.raises(NoResultFound):
        await database.fetch_one(ROWS, NumberedName, 0)


async def test_fetch_one_or_none_returns_none_without_a_row(database: Database) -> None:
    assert await database.fetch_one_or_none(ROWS, NumberedName, 0) is None
    assert await database.fetch_one_or_none(ROWS, NumberedName, 1) == NumberedName(number=1, name=None)


@pytest.mark.parametrize("method", ["fetch_all", "fetch_all_custom_plan"])
async def test_fetch_all_returns_every_row_in_order(database: Database, method: str) -> None:
    rows = await getattr(database, method)(ROWS, NumberedName, 2)

    assert rows == [NumberedName(number=1, name=None), NumberedName(number=2, name="two")]


async def test_json_columns_arrive_decoded(database: Database) -> None:
    row = await database.fetch_one("""SELECT 1 AS number, '{"a": [1]}'::jsonb AS name""", NumberedName)

    assert row == NumberedName(number=1, name={"a": [1]})


async def test_columns_that_differ_from_the_fields_raise(database: Database) -> None:
    with pytest.raises(TypeError, match="more"):
        await database.fetch_one("SELECT 1 AS number, 'one' AS name, 2 AS more", NumberedName)
    with pytest.raises(TypeError, match="name"):
        await database.fetch_one("SELECT 1 AS number", NumberedName)
