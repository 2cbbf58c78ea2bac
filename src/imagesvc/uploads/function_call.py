"""Calls of database functions whose named parameters are the fields of a dataclass.

The SQL text is built once, at import. asyncpg prepares it once per connection, so named parameters cost nothing later.
"""

import dataclasses
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from imagesvc.db import Database

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ParametersT = TypeVar("ParametersT", bound="DataclassInstance")
RowT = TypeVar("RowT", bound="DataclassInstance")


class FunctionCall(Generic[ParametersT, RowT]):
    """A call of the database function ``name``, which returns one row.

    ``parameters`` has one field per parameter, in the order of the function: ``f_key`` is the field ``key``. A field
    that would be a Python keyword ends in an underscore: ``f_from`` is ``from_``. ``row`` has one field per column of
    the result; the only field of a function that returns a plain value may have any name.
    """

    __slots__ = ("_row", "_values", "name", "parameter_names", "sql")

    def __init__(self, name: str, parameters: type[ParametersT], row: type[RowT]) -> None:
        fields = [field.name for field in dataclasses.fields(parameters)]
        columns = [field.name for field in dataclasses.fields(row)]
        self.name = name
        self.parameter_names = tuple(f"f_{field.rstrip('_')}" for field in fields)
        self._row = row
        self._values = attrgetter(*fields)
        arguments = ", ".join(f"{parameter} => ${n}" for n, parameter in enumerate(self.parameter_names, start=1))
        # the alias of a function that returns a plain value names its column
        alias = f" AS {columns[0]}" if len(columns) == 1 else ""
        self.sql = f"SELECT {', '.join(columns)} FROM {name}({arguments}){alias}"  # noqa: S608 - names from the code

    async def run(self, database: Database, parameters: ParametersT) -> RowT:
        """Run the function in a transaction of its own. Raises what ``Database.fetch_one`` raises."""
        return await database.fetch_one(self.sql, self._row, *self.arguments(parameters))

    def arguments(self, parameters: ParametersT) -> tuple[Any, ...]:
        """The arguments of ``sql``, for a statement that contains it."""
        values: tuple[Any, ...] = self._values(parameters)
        return values
