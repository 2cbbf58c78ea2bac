"""The requests that the sandbox takes and the results that it returns, as plain data without pydantic (see facts.py).

Presets, output formats and fits are listed here and nowhere else; the accepted formats are in ``sniff.py``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from annotated_types import Ge, Gt, Le, Len, Lt, MaxLen, Predicate

from imagesvc.processing.facts import FORBID_EXTRA, Facts, is_slug, is_storable

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A request for facts and renditions. ``score`` stands for all that is measured on pixels: score and perceptual
    hash.

    With neither score nor renditions no pixel is decoded, so broken pixel data is not detected.
    """

    kind: Literal["work"] = "work"
    facts: bool = True
    score: bool = True
    renditions: tuple[tuple[Preset, Format], ...] = EAGER_RENDITIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """A request for one file of any size: the box, in pixels, and how the image fits into it.

    ``contain`` keeps the image within the box and never enlarges it. ``cover`` fills the box and crops what is outside.
    ``fill`` stretches the image to the box.
    """

    kind: Literal["resize"] = "resize"
    width: int = 100
    height: int = 100
    fit: Fit = "contain"
    format: ResizeFormat = "jpg"
    quality: int = 80


def output_names(request: Work | Resize) -> list[str]:
    """Names of the possible output files, in order. They are fixed before any hostile byte is read."""
    if isinstance(request, Resize):
        return [f"resize.{request.format}"]
    return [f"{preset}.{format}" for preset, format in dict.fromkeys(request.renditions)]


def stands_for(preset: str, other: str) -> bool:
    """Whether a rendition of ``preset`` that shows the whole image, unreduced, also is what ``other`` would be."""
    order: list[str] = list(LONG_SIDE)
    return order.index(preset) < order.index(other)


Slug = Annotated[str, Len(1, 64), Predicate(is_slug)]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFile:
    """One file that the child wrote; ``index`` is its position in ``output_names``."""

    __pydantic_config__: ClassVar[Any] = FORBID_EXTRA

    index: Annotated[int, Ge(0), Lt(MAX_OUTPUTS)]
    width: Annotated[int, Gt(0), Le(2**31)]
    height: Annotated[int, Gt(0), Le(2**31)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessedReply:
    __pydantic_config__: ClassVar[Any] = FORBID_EXTRA

    outcome: Literal["processed"] = "processed"
    facts: Facts | None = None
    outputs: Annotated[tuple[OutputFile, ...], MaxLen(MAX_OUTPUTS)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedReply:
    __pydantic_config__: ClassVar[Any] = FORBID_EXTRA

    outcome: Literal["rejected"] = "rejected"
    slug: Slug
    detail: Annotated[str, MaxLen(400), Predicate(is_storable)]
    facts: Facts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedReply:
    __pydantic_config__: ClassVar[Any] = FORBID_EXTRA

    outcome: Literal["failed"] = "failed"
    reason: Slug
    detail: Annotated[str, MaxLen(4_000)] = ""


Reply = ProcessedReply | RejectedReply | FailedReply
"""What the child writes as JSON; ``sandbox/files.py`` validates it and returns an ``Outcome``."""
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
