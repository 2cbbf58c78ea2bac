"""The result of reading a file's header, the limits of a header reader, and the errors that it raises."""

from dataclasses import dataclass, field
from mmap import mmap
from typing import Protocol

Source = bytes | mmap
"""The whole file. A slice of either type is ``bytes``."""


KNOWN_PRIMARIES = frozenset({1, 2, 4, 5, 6, 7, 8, 9, 11, 12, 22})
KNOWN_TRANSFERS = frozenset({1, 2, 4, 5, 6, 8, 11, 12, 13, 14, 15, 16, 18})
"""ITU-T H.273 code points that ``color.py`` converts to sRGB. 2 means unspecified."""


class Refusal(Exception):
    """The file is at fault. ``slug`` is stable and part of the API, ``detail`` is a sentence for people."""

    def __init__(self, slug: str, detail: str) -> None:
        super().__init__(f"{slug}: {detail}")
        self.slug = slug
        self.detail = detail


class BrokenImage(Refusal):
    """The file ends too early or contradicts itself."""

    def __init__(self, detail: str) -> None:
        super().__init__("broken-image", detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderLimits:
    """How much a header reader counts or inflates. It stops past a limit, because the file is rejected anyway."""

    frames: int
    text_bytes: int
    profile_bytes: int


@dataclass(slots=True, kw_only=True)
class Header:
    """What a file states before a pixel is decoded. Sizes are stored sizes, before orientation.

    Mutable, because a reader fills it in while it walks the file.
    """

    width: int = 0
    height: int = 0
    frames: int = 1
    other_frames_pixels: int | None = None
    """Pixels of all frames except the first. None: all frames have the size of the first."""
    bytes_per_pixel: int = 4
    """Of the decoded frame; a lower bound."""
    profile_bytes: int = 0
    text_bytes: int = 0
    exif: bytes | None = None
    """A TIFF structure. None for TIFF files, which are one themselves."""
    xmp: bytes | None = None
    crop: tuple[int, int, int, int] | None = None
    """Left, top, right and bottom of the displayed part, in stored pixels (HEIF `clap`)."""
    container_orientation: int | None = None
    """The container's rotation and mirroring as an EXIF orientation, None without any."""
    exif_orientation_applies: bool = True
    """Whether EXIF's orientation applies to this format. If not, only ``container_orientation`` does."""
    primaries: int | None = None
    """ITU-T H.273 code point, where the container states it."""
    transfer: int | None = None
    """ITU-T H.273 code point, where the container states it."""
    gamma: float | None = None
    chromaticities: tuple[float, ...] | None = None
    """x and y of white, red, green and blue, where a PNG states them and does not state sRGB."""
    notes: list[str] = field(default_factory=list)

    def set_code_points(self, primaries: int, transfer: int) -> None:
        """Set both code points, or none if one of them is unknown: half a conversion would be worse than none."""
        if primaries == transfer == 2:
            return
        if primaries in KNOWN_PRIMARIES and transfer in KNOWN_TRANSFERS:
            self.primaries, self.transfer = primaries, transfer
        else:
            self.notes.append("color-code-points-ignored")

    @property
    def total_pixels(self) -> int:
        """Pixels of all frames together."""
        first = self.width * self.height
        if self.other_frames_pixels is not None:
            return first + self.other_frames_pixels
        return first * max(self.frames, 1)


class HeaderReader(Protocol):
    def __call__(self, source: Source, limits: HeaderLimits) -> Header:
        """Read the header of one format. Raises Refusal and nothing else."""
        ...


def read_exactly(source: Source, at: int, count: int) -> bytes:
    """Exactly ``count`` bytes at the offset. Raises BrokenImage when the file has fewer."""
    data = source[at : at + count]
    if at < 0 or len(data) != count:
        raise BrokenImage("the file ends too early")
    return data
