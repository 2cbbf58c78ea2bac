"""Request and response bodies of the store routes."""

import datetime as dt
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from imagesvc.stores.models import Store

MAX_CHARS = 200
"""The same limit as for `store_id` and `store_name` of an upload."""
Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_CHARS, pattern=r"^[^\x00]*$")
]
EXAMPLE: dict[str, JsonValue] = {"store_name": "B P STORE", "area": "7100015", "time_zone": "Asia/Kolkata"}


class NewStore(BaseModel):
    """A store. It replaces an existing one as a whole: an omitted `time_zone` is removed."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    store_name: Text
    area: Text
    time_zone: Text | None = Field(None, description="an IANA name; visits are counted by its days")


class StoreOut(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"store_id": "S00339218", **EXAMPLE, "updated_at": "2026-11-20T09:00:00Z"}]}
    )

    store_id: str
    store_name: str
    area: str
    time_zone: str | None
    updated_at: dt.datetime

    @classmethod
    def of(cls, store: Store) -> Self:
        return cls(
            store_id=store.id,
            store_name=store.name,
            area=store.area,
            time_zone=store.time_zone,
            updated_at=store.updated_at,
        )


class BadLine(BaseModel):
    """``line`` counts from 1, including the line with the names of the columns."""

    line: int
    detail: str


class Imported(BaseModel):
    """Numbers of rows. `errors` describes the first 1000 `rejected` rows."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "rows": 4,
                    "created": 2,
                    "updated": 1,
                    "unchanged": 0,
                    "rejected": 1,
                    "errors": [{"line": 4, "detail": "The row must have 3 columns, but has 1."}],
                }
            ]
        }
    )

    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    errors: list[BadLine] = []


CSV_BODY: dict[str, JsonValue] = {
    "requestBody": {
        "required": True,
        "description": "UTF-8, in the format of RFC 4180. The columns may be in any order; `TimeZone` is optional.",
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": "AreaCode,StoreName,StoreID,TimeZone\n7100015,B P STORE,S00339218,Asia/Kolkata\n",
            }
        },
    }
}
