"""Response body of the report of visits."""

import datetime as dt
import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _require_iso_date(value: object) -> object:
    # pydantic also accepts numbers, as seconds since 1970, and times
    if isinstance(value, str) and not _DATE.fullmatch(value):
        raise ValueError("Must be a date such as 2026-11-20")
    return value


Day = Annotated[dt.date, BeforeValidator(_require_iso_date)]


class DayOut(BaseModel):
    """A day in the store's time zone. Only images that are `done` count."""

    date: dt.date
    images: int
    perimeter: int
    average_seconds: float
    average_score: float | None


class StoreVisits(BaseModel):
    store_id: str
    area: str
    store_name: str
    data: list[DayOut]


class Visits(BaseModel):
    """Visits by store. Stores without images on these days are omitted."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "results": [
                        {
                            "store_id": "S00339218",
                            "area": "7100015",
                            "store_name": "B P STORE",
                            "data": [
                                {
                                    "date": "2026-11-20",
                                    "images": 2,
                                    "perimeter": 28000,
                                    "average_seconds": 0.412,
                                    "average_score": 81.5,
                                }
                            ],
                        }
                    ],
                    "next_cursor": None,
                }
            ]
        }
    )

    results: list[StoreVisits]
    next_cursor: str | None
