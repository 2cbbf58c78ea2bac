"""What goes in and out of the route of visits."""

import datetime as dt
import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _written_out(value: Any) -> Any:
    # pydantic reads bare numbers as seconds since 1970, and takes the date of a time
    if isinstance(value, str) and not _DATE.fullmatch(value):
        raise ValueError("A date such as 2026-11-20 is needed")
    return value


Day = Annotated[dt.date, BeforeValidator(_written_out)]


class DayOut(BaseModel):
    """A day in the store's time zone. Only images that are done are counted."""

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
    """Stores without images in the time are left out."""

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
