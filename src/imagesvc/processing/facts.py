"""What is known about an image from its bytes alone, as it crosses from the sandbox into the service.

It was written by a process that had hostile input, so it is checked again when it is read back: sizes in range, texts
short and without NUL or lone surrogates (PostgreSQL refuses them), numbers finite (NaN is no JSON).
"""

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NaiveDatetime

MAX_TEXT = 200
MAX_NOTES = 32


def storable_or_error(text: str) -> str:
    if any(ord(character) < 0x20 or 0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise ValueError("control characters and lone surrogates cannot be stored")
    return text


def _plain_json(value: dict[str, Any]) -> dict[str, Any]:
    def check(item: Any, depth: int) -> None:
        if depth > 4:
            raise ValueError("nested too deep")
        if isinstance(item, dict):
            for key, inner in item.items():
                check(key, depth + 1)
                check(inner, depth + 1)
        elif isinstance(item, list):
            for inner in item:
                check(inner, depth + 1)
        elif isinstance(item, str):
            storable_or_error(item)
        elif isinstance(item, float) and not math.isfinite(item):
            raise ValueError("numbers have to be finite")

    check(value, 0)
    return value


Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(storable_or_error)]
Side = Annotated[int, Field(gt=0, le=2**31)]
Positive = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]


class Facts(BaseModel):
    """Absent knowledge is None, never a made-up value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    media_type: Text
    width: Side
    """as displayed: after orientation"""
    height: Side
    stored_width: Side
    stored_height: Side
    orientation: Annotated[int, Field(ge=1, le=8)] | None = None
    """EXIF's number for how stored pixels are turned for display; for HEIF the container's own rotation wins"""
    frames: Annotated[int, Field(ge=1, le=2**31)] = 1
    color_mode: Text | None = None
    """Pillow's name of the stored pixels' mode: RGB, L, CMYK, P, I;16, …"""
    has_icc_profile: bool = False

    make: Text | None = None
    model: Text | None = None
    make_raw: Text | None = None
    """as written, only shortened and freed of what cannot be stored"""
    model_raw: Text | None = None
    camera: Text | None = None
    """the name that statistics count under: equal for all spellings of one model"""
    lens: Text | None = None

    f_number: Positive | None = None
    exposure_seconds: Positive | None = None
    iso: Annotated[int, Field(gt=0, lt=2**31)] | None = None
    focal_length_mm: Positive | None = None

    captured_local: NaiveDatetime | None = None
    """the camera's clock, to the millisecond"""
    captured_offset_minutes: Annotated[int, Field(ge=-12 * 60, le=14 * 60)] | None = None
    """east of UTC; None is unknown, which is not UTC"""
    offset_source: Literal["exif", "gps"] | None = None

    latitude: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)] | None = None
    altitude_m: Annotated[float, Field(ge=-20_000, le=1_000_000, allow_inf_nan=False)] | None = None

    perceptual_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = None
    """64 bits; None when the pixels were not asked for, and for a picture that has nothing to tell it by"""
    score: Annotated[dict[str, Any], AfterValidator(_plain_json)] | None = None
    notes: Annotated[tuple[Text, ...], Field(max_length=MAX_NOTES)] = ()
    """short words on metadata that was there and made no sense"""
