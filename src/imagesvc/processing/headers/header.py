"""What a file says about itself before a pixel is decoded, and how reading it can fail."""

from dataclasses import dataclass, field
from mmap import mmap
from typing import Protocol

Source = bytes | mmap
"""The file: slices of it are bytes, whichever it is."""


class Refusal(Exception):
    """The file's own fault, by a stable slug (part of the API) and a sentence for people."""

    def __init__(self, slug: str, detail: str) -> None:
        super().__init__(f"{slug}: {detail}")
        self.slug = slug
        self.detail = detail


class Broken(Refusal):
    """The file ends too early or contradicts itself."""

    def __init__(self, detail: str) -> None:
        super().__init__("broken-image", detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How far a header reader may go: past it the numbers are beyond every limit anyway."""

    frames: int
    text_bytes: int
    profile_bytes: int


@dataclass(slots=True, kw_only=True)
class Header:
    """Sizes are the stored ones, before orientation. Readers fill it in as they go."""

    width: int = 0
    height: int = 0
    frames: int = 1
    other_frames_pixels: int | None = None
    """pixels of all frames but the first, where frames differ in size; else all are like the first"""
    bytes_per_pixel: int = 4
    """of the decoded frame, at least"""
    profile_bytes: int = 0
    text_bytes: int = 0
    exif: bytes | None = None
    """a TIFF structure (TIFF files: None, the file itself is one)"""
    xmp: bytes | None = None
    crop: tuple[int, int, int, int] | None = None
    """left, top, right, bottom of the part that is shown, in stored pixels (HEIF `clap`)"""
    container_orientation: int | None = None
    """the container's own rotation and mirroring as an EXIF orientation; when set, EXIF's is not applied"""
    own_orientation: bool = True
    """whether EXIF's orientation counts for this format"""
    primaries: int | None = None
    transfer: int | None = None
    """ITU-T H.273 code points where the container states them"""
    gamma: float | None = None
    chromaticities: tuple[float, ...] | None = None
    """x and y of white, red, green and blue, where a PNG states them and does not say that it is sRGB"""
    notes: list[str] = field(default_factory=list)

    @property
    def total_pixels(self) -> int:
        first = self.width * self.height
        others = self.other_frames_pixels
        return first + (others if others is not None else first * (max(self.frames, 1) - 1))


class HeaderReader(Protocol):
    def __call__(self, source: Source, budget: Budget) -> Header:
        """Raises Refusal."""
        ...


def take(source: Source, at: int, count: int) -> bytes:
    """Exactly that many bytes, or Broken."""
    data = source[at : at + count]
    if at < 0 or len(data) != count:
        raise Broken("the file ends too early")
    return data
