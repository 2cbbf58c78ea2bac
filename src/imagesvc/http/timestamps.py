"""Times that callers send: RFC 3339 with an offset, and nothing that a library would guess a time from."""

import datetime as dt
import re
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

_DATE_AND_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]", re.ASCII)


def _written_out(value: Any) -> Any:
    # Pydantic reads bare numbers as seconds since 1970: 20261120 would be a day in August of that year.
    if isinstance(value, dt.datetime) or (isinstance(value, str) and _DATE_AND_TIME.match(value.strip())):
        return value
    raise ValueError("An RFC 3339 time with its offset is needed")


def _in_utc(value: dt.datetime) -> dt.datetime:
    """At both ends of the calendar a time with an offset may have no time in UTC, and no database row then."""
    try:
        return value.astimezone(dt.UTC)
    except OverflowError:
        raise ValueError("The time lies outside the calendar") from None


Timestamp = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_in_utc)]
"""As a field's type; comes in UTC."""
