"""Timestamps in requests: only RFC 3339 with an offset, no other form that a library would accept."""

import datetime as dt
import re
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

_DATE_AND_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]", re.ASCII)


def _require_rfc_3339(value: object) -> object:
    # Pydantic accepts bare numbers as seconds since 1970: 20261120 would be a day in August 1970.
    if isinstance(value, dt.datetime) or (isinstance(value, str) and _DATE_AND_TIME.match(value.strip())):
        return value
    raise ValueError("An RFC 3339 timestamp with an offset is required")


def _in_utc(value: dt.datetime) -> dt.datetime:
    """Near both ends of the calendar, a time with an offset may not exist in UTC."""
    try:
        return value.astimezone(dt.UTC)
    except OverflowError:
        raise ValueError("The time is out of range") from None


Timestamp = Annotated[AwareDatetime, BeforeValidator(_require_rfc_3339), AfterValidator(_in_utc)]
"""The type of a field. The value is in UTC."""
