"""The offset from UTC of a local time in a store's time zone, for cameras that do not record their own."""

import datetime as dt
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def offset_minutes(zone: str, local: dt.datetime) -> int | None:
    """Return the offset of ``local`` in an IANA time zone. Of an ambiguous time, that of the first occurrence.

    Returns None when the zone is unknown on this machine, or when the offset is no whole number of minutes, as for
    dates before the zone was introduced.
    """
    try:
        offset = ZoneInfo(zone).utcoffset(local)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    minutes, rest = divmod(offset, dt.timedelta(minutes=1)) if offset is not None else (0, dt.timedelta(1))
    return None if rest else minutes
