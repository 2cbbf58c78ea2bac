"""The facts about an image that its bytes alone give, in the form in which they leave the sandbox.

A process with hostile input wrote them, so the worker validates them by these annotations when it reads them: sizes are
in range, texts are short and hold neither control characters nor lone surrogates (PostgreSQL refuses NUL and
surrogates), and numbers are finite (JSON has no NaN). The sandbox itself does not load pydantic: it would double the
cost of starting one.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Len, MaxLen, Predicate

# pydantic needs this TypedDict below Python 3.12
from typing_extensions import TypedDict

MAX_TEXT = 200
MAX_NOTES = 32
FORBID_EXTRA = {"extra": "forbid"}


def is_storable(text: str) -> bool:
    """Whether the database can store all characters of the text."""
    return not any(ord(character) < 0x20 or 0xD800 <= ord(character) <= 0xDFFF for character in text)


def is_slug(text: str) -> bool:
    """Words of small letters, joined by hyphens."""
    return all(word.isascii() and word.isalpha() and word.islower() for word in text.split("-"))


def is_perceptual_hash(text: str) -> bool:
    """64 bits as 16 small hexadecimal digits."""
    return len(text) == 16 and set(text) <= set("0123456789abcdef")


def is_naive(time: datetime) -> bool:
    return time.tzinfo is None


Text = Annotated[str, Len(1, MAX_TEXT), Predicate(is_storable)]
Side = Annotated[int, Gt(0), Le(2**31)]
Positive = Annotated[float, Gt(0), Le(1e9)]
Share = Annotated[float, Ge(0), Le(1)]


class ScoreJson(TypedDict):
    """The ``score`` member of an image; ``score.Score`` describes the fields."""

    value: Annotated[int, Ge(0), Le(100)]
    version: Text
    components: Annotated[dict[Text, Share], MaxLen(32)]
    defects: Annotated[list[Text], MaxLen(32)]
    hint: Text | None


ScoreJson.__pydantic_config__ = FORBID_EXTRA  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A value that is not known is None, never a default."""

    __pydantic_config__: ClassVar[Any] = FORBID_EXTRA

    media_type: Text
    width: Side
    """as displayed: after orientation"""
    height: Side
    stored_width: Side
    stored_height: Side
    orientation: Annotated[int, Ge(1), Le(8)] | None = None
    """EXIF's number for how stored pixels are turned for display; in HEIF the container's own rotation takes
    precedence"""
    frames: Annotated[int, Ge(1), Le(2**31)] = 1
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
    iso: Annotated[int, Gt(0), Le(2**31 - 1)] | None = None
    focal_length_mm: Positive | None = None

    captured_local: Annotated[datetime, Predicate(is_naive)] | None = None
    """the camera's clock, to the millisecond"""
    captured_offset_minutes: Annotated[int, Ge(-12 * 60), Le(14 * 60)] | None = None
    """east of UTC; None means unknown, not UTC"""
    offset_source: Literal["exif", "gps"] | None = None

    latitude: Annotated[float, Ge(-90), Le(90)] | None = None
    longitude: Annotated[float, Ge(-180), Le(180)] | None = None
    altitude_m: Annotated[float, Ge(-20_000), Le(1_000_000)] | None = None

    perceptual_hash: Annotated[str, Predicate(is_perceptual_hash)] | None = None
    """64 bits; None if no pixels were decoded or the image has too little detail for a hash"""
    score: ScoreJson | None = None
    notes: Annotated[tuple[Text, ...], MaxLen(MAX_NOTES)] = ()
    """short codes for metadata that is present but invalid"""
