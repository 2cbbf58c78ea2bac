"""What the statistics routes answer."""

import datetime as dt

from pydantic import BaseModel


class FormatCount(BaseModel):
    media_type: str
    count: int


class CameraCount(BaseModel):
    model: str
    count: int


class DayCount(BaseModel):
    date: dt.date
    count: int


class Totals(BaseModel):
    images: int
    blobs: int
    uploads: int
    bytes_received: int
    bytes_stored: int
    bytes_saved: int


class Formats(BaseModel):
    formats: list[FormatCount]
    most_popular_format: str | None


class Cameras(BaseModel):
    cameras: list[CameraCount]
    cameras_unknown: int


class UploadsPerDay(BaseModel):
    uploads_per_day: list[DayCount]


class Report(Formats, Cameras, UploadsPerDay):
    """Images that are not rejected, and their uploads; deletions are taken out."""

    totals: Totals
