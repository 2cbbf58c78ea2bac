"""What a camera's clock was off from UTC, where all that is known is the shop it stood in."""

import datetime as dt
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def offset_minutes(zone: str, local: dt.datetime) -> int | None:
    """Of the first of the two moments, when clocks were set back and showed this time twice.

    None when this machine does not know the zone, or had it off by a fraction of a minute (before there were zones).
    """
    try:
        offset = ZoneInfo(zone).utcoffset(local)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    minutes, rest = divmod(offset, dt.timedelta(minutes=1)) if offset is not None else (0, dt.timedelta(1))
    return None if rest else minutes
