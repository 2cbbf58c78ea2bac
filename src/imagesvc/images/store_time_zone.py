"""The offset from UTC of an image's capture time: that of the file, else that of its store's time zone."""

import dataclasses
import datetime as dt
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from imagesvc.images.models import OffsetSource


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CaptureOffset:
    """``minutes`` east of UTC. ``source`` is None without a capture time."""

    minutes: int | None
    source: OffsetSource | None

    def utc(self, local: dt.datetime | None) -> dt.datetime | None:
        if local is None or self.minutes is None:
            return None
        return local.replace(tzinfo=dt.timezone(dt.timedelta(minutes=self.minutes)))


def capture_offset(
    local: dt.datetime | None, minutes: int | None, source: str | None, *, zone: str | None
) -> CaptureOffset:
    """``minutes`` and ``source`` are those of the file.

    The store's time zone takes precedence over an offset that was derived from the GPS clock, which may be hours old.
    """
    if local is None:
        return CaptureOffset(minutes=None, source=None)
    if minutes is not None and source == "exif":
        return CaptureOffset(minutes=minutes, source="exif")
    if zone is not None and (of_store := offset_minutes(zone, local)) is not None:
        return CaptureOffset(minutes=of_store, source="store")
    return CaptureOffset(minutes=minutes, source="unknown" if minutes is None else "gps")


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
