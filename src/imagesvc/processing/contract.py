"""The requests that the sandbox takes and the results that it returns, as plain data.

Presets, output formats and fits are listed here and nowhere else; the accepted formats are in ``sniff.py``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from imagesvc.processing.facts import Facts, storable_or_error

Preset = Literal["thumb", "medium", "large", "full"]
Format = Literal["webp", "jpg", "avif"]
ResizeFormat = Literal[Format, "png"]
Fit = Literal["contain", "cover", "fill"]

FORMATS: tuple[Format, ...] = get_args(Format)
"""The formats of renditions. A resize can also be a PNG."""
LONG_SIDE: dict[Preset, int | None] = {"thumb": 320, "medium": 1024, "large": 2048, "full": None}
"""Long side of each preset in pixels, the smallest first; None is the size of the original."""
MEDIA_TYPE_OF_FORMAT = {"webp": "image/webp", "jpg": "image/jpeg", "avif": "image/avif", "png": "image/png"}
EAGER_RENDITIONS: tuple[tuple[Preset, Format], ...] = (("thumb", "webp"), ("medium", "webp"), ("large", "webp"))
"""The renditions that every upload gets; others are made on request. Of several that would show the whole image, only
the smallest preset is made; it serves the others (``sql/rendition_named.sql``)."""
MAX_RESIZE_SIDE = 8_192
MAX_OUTPUTS = 64


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Work(_Data):
    """A request for facts and renditions. ``score`` stands for all that is measured on pixels: score and perceptual
    hash.

    With neither score nor renditions no pixel is decoded, so broken pixel data is not detected.
    """

    kind: Literal["work"] = "work"
    facts: bool = True
    score: bool = True
    renditions: tuple[tuple[Preset, Format], ...] = EAGER_RENDITIONS


class ResizeParameters(_Data):
    """The box, in pixels, and how the image fits into it.

    ``contain`` keeps the image within the box and never enlarges it. ``cover`` fills the box and crops what is outside.
    ``fill`` stretches the image to the box.
    """

    width: Annotated[int, Field(ge=1, le=MAX_RESIZE_SIDE)] = 100
    height: Annotated[int, Field(ge=1, le=MAX_RESIZE_SIDE)] = 100
    fit: Fit = "contain"
    format: ResizeFormat = "jpg"
    quality: Annotated[int, Field(ge=1, le=100)] = 80


class Resize(ResizeParameters):
    """A request for one file of any size."""

    kind: Literal["resize"] = "resize"


Request = Annotated[Work | Resize, Field(discriminator="kind")]


def output_names(request: Work | Resize) -> list[str]:
    """Names of the possible output files, in order. They are fixed before any hostile byte is read."""
    if isinstance(request, Resize):
        return [f"resize.{request.format}"]
    return [f"{preset}.{format}" for preset, format in dict.fromkeys(request.renditions)]


def stands_for(preset: str, other: str) -> bool:
    """Whether a rendition of ``preset`` that shows the whole image, unreduced, also is what ``other`` would be."""
    order: list[str] = list(LONG_SIDE)
    return order.index(preset) < order.index(other)


class OutputFile(_Data):
    """One file that the child wrote; ``index`` is its position in ``output_names``."""

    index: Annotated[int, Field(ge=0, lt=MAX_OUTPUTS)]
    width: Annotated[int, Field(gt=0, le=2**31)]
    height: Annotated[int, Field(gt=0, le=2**31)]


class ProcessedReply(_Data):
    outcome: Literal["processed"] = "processed"
    facts: Facts | None = None
    outputs: Annotated[tuple[OutputFile, ...], Field(max_length=MAX_OUTPUTS)] = ()


class RejectedReply(_Data):
    outcome: Literal["rejected"] = "rejected"
    slug: Annotated[str, Field(pattern=r"^[a-z]+(-[a-z]+)*$", max_length=64)]
    detail: Annotated[str, Field(max_length=400), AfterValidator(storable_or_error)]
    facts: Facts | None = None


class FailedReply(_Data):
    outcome: Literal["failed"] = "failed"
    reason: Annotated[str, Field(pattern=r"^[a-z]+(-[a-z]+)*$", max_length=64)]
    detail: Annotated[str, Field(max_length=4_000)] = ""


Reply = ProcessedReply | RejectedReply | FailedReply
"""What the child writes; ``sandbox/files.py`` checks it and returns an ``Outcome``."""
REPLY: TypeAdapter[Reply] = TypeAdapter(Annotated[Reply, Field(discriminator="outcome")])
MAX_REPLY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RenditionFile:
    """``preset`` is ``resize`` for a resize."""

    preset: str
    format: str
    width: int
    height: int
    path: Path
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Processed:
    facts: Facts | None
    renditions: list[RenditionFile]
    cpu_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The file is at fault. ``slug`` is API (``/problems/<slug>``); ``facts`` holds what its header states, if that was
    read."""

    slug: str
    detail: str
    facts: Facts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The service or the decoder is at fault. ``detail`` is for the log only.

    Reasons: ``decoder-crashed``, ``decoder-timeout``, ``decoder-memory``, ``decoder-killed``, ``output-too-large``,
    ``processing-error``, ``bad-reply``, ``sandbox-lost``.
    """

    reason: str
    detail: str = ""


Outcome = Processed | Rejected | Failed


def as_json(value: BaseModel) -> dict[str, JsonValue]:
    return value.model_dump(mode="json")
