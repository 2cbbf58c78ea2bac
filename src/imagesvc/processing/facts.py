"""The facts about an image that its bytes alone give, in the form in which they leave the sandbox.

A process with hostile input wrote them, so this model validates them again when the worker reads them: sizes are in
range, texts are short and hold neither control characters nor lone surrogates (PostgreSQL refuses NUL and surrogates),
and numbers are finite (JSON has no NaN).
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NaiveDatetime, with_config

# pydantic needs this TypedDict below Python 3.12
from typing_extensions import TypedDict

MAX_TEXT = 200
MAX_NOTES = 32


def storable_or_error(text: str) -> str:
    """Raises ValueError for characters that the database cannot store."""
    if any(ord(character) < 0x20 or 0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise ValueError("control characters and lone surrogates cannot be stored")
    return text


Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(storable_or_error)]
Side = Annotated[int, Field(gt=0, le=2**31)]
Positive = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


@with_config(ConfigDict(extra="forbid"))
class ScoreJson(TypedDict):
    """The ``score`` member of an image; ``score.Score`` describes the fields."""

    value: Annotated[int, Field(ge=0, le=100)]
    version: Text
    components: Annotated[dict[Text, Share], Field(max_length=32)]
    defects: Annotated[list[Text], Field(max_length=32)]
    hint: Text | None


class Facts(BaseModel):
    """A value that is not known is None, never a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    media_type: Text
    width: Side
    """as displayed: after orientation"""
    height: Side
    stored_width: Side
    stored_height: Side
    orientation: Annotated[int, Field(ge=1, le=8)] | None = None
    """EXIF's number for how stored pixels are turned for display; in HEIF the container's own rotation takes
    precedence"""
    frames: Annotated[int, Field(ge=1, le=2**31)] = 1
    color_mode: Text | None = None
    """Pillow's name of the mode of the stored pixels: RGB, L, CMYK, P, I;16, …"""
    has_icc_profile: bool = False

    make: Text | None = None
    model: Text | None = None
    make_raw: Text | None = None
    """as written, but shortened and without characters that cannot be stored"""
    model_raw: Text | None = None
    camera: Text | None = None
    """the name that statistics count: the same for all spellings of one model"""
    lens: Text | None = None

    f_number: Positive | None = None
    exposure_seconds: Positive | None = None
    iso: Annotated[int, Field(gt=0, lt=2**31)] | None = None
    focal_length_mm: Positive | None = None

    captured_local: NaiveDatetime | None = None
    """the camera's clock, to the millisecond"""
    captured_offset_minutes: Annotated[int, Field(ge=-12 * 60, le=14 * 60)] | None = None
    """east of UTC; None means unknown, not UTC"""
    offset_source: Literal["exif", "gps"] | None = None

    latitude: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)] | None = None
    altitude_m: Annotated[float, Field(ge=-20_000, le=1_000_000, allow_inf_nan=False)] | None = None

    perceptual_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = None
    """64 bits; None if no pixels were decoded or the image has too little detail for a hash"""
    score: ScoreJson | None = None
    notes: Annotated[tuple[Text, ...], Field(max_length=MAX_NOTES)] = ()
    """short codes for metadata that is present but invalid"""
