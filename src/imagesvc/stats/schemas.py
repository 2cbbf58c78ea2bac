"""Response bodies of the statistics routes."""

import datetime as dt

from pydantic import BaseModel, ConfigDict, JsonValue

EXAMPLE: dict[str, JsonValue] = {
    "formats": [{"media_type": "image/jpeg", "count": 50}],
    "most_popular_format": "image/jpeg",
    "cameras": [{"model": "NIKON D300", "count": 1}],
    "cameras_unknown": 49,
    "uploads_per_day": [{"date": "2026-11-20", "count": 55}],
    "scores": [{"min_score": tenth, "count": 5} for tenth in range(0, 100, 10)],
    "totals": {
        "images": 50,
        "blobs": 51,
        "uploads": 55,
        "bytes_received": 123,
        "bytes_stored": 120,
        "bytes_saved": 3,
    },
}


class FormatCount(BaseModel):
    media_type: str
    count: int


class CameraCount(BaseModel):
    model: str
    count: int


class DayCount(BaseModel):
    date: dt.date
    count: int


class ScoreCount(BaseModel):
    """Images with a score from `min_score` to `min_score` + 9; the last count includes 100."""

    min_score: int
    count: int


class Totals(BaseModel):
    images: int
    blobs: int
    uploads: int
    bytes_received: int
    bytes_stored: int
    bytes_saved: int


def _example(*names: str) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [{name: EXAMPLE[name] for name in names}]})


class Formats(BaseModel):
    model_config = _example("formats", "most_popular_format")

    formats: list[FormatCount]
    most_popular_format: str | None


class Cameras(BaseModel):
    model_config = _example("cameras", "cameras_unknown")

    cameras: list[CameraCount]
    cameras_unknown: int


class UploadsPerDay(BaseModel):
    model_config = _example("uploads_per_day")

    uploads_per_day: list[DayCount]


class Scores(BaseModel):
    model_config = _example("scores")

    scores: list[ScoreCount]


class Report(Formats, Cameras, Scores, UploadsPerDay):
    """Counts of images that are not rejected, and of their uploads. Deleted images and uploads are not counted."""

    model_config = _example(*EXAMPLE)

    totals: Totals
