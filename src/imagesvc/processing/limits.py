"""Limits of one image, and the checks of its header against them before anything is decoded."""

from dataclasses import dataclass

from imagesvc.processing.headers.header import Header, Refusal

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one image, and of the process that decodes it."""

    max_pixels: int = 200_000_000
    """of one frame"""
    max_total_pixels: int = 1_000_000_000
    """of all frames together: many small frames can add up to an enormous image"""
    max_frames: int = 2_000
    max_side: int = 50_000
    max_decoded_bytes: int = 1_200 * MIB
    """of one frame in memory; stricter than ``max_pixels`` for samples of more than 8 bits"""
    max_text_bytes: int = 8 * MIB
    """of all texts and XMP together, after decompression"""
    max_profile_bytes: int = 8 * MIB
    """of the color profile, after decompression"""
    sandbox_seconds: float = 60.0
    """wall time and, rounded up, CPU time"""
    sandbox_memory_bytes: int = 2_048 * MIB
    """address space in addition to that of the interpreter and the libraries"""
    max_output_bytes: int = 256 * MIB
    """of each output file"""


def check_header(header: Header, limits: Limits) -> None:
    """Raises Refusal if the image exceeds the limits."""
    check_size(header.width, header.height, limits)
    size = f"{header.width} x {header.height}"
    if header.width * header.height * header.bytes_per_pixel > limits.max_decoded_bytes:
        raise Refusal("too-many-pixels", f"{size}: over {limits.max_decoded_bytes} bytes once decoded")
    if header.frames > limits.max_frames:
        raise Refusal("too-many-frames", f"more than {limits.max_frames} frames")
    if header.total_pixels > limits.max_total_pixels:
        raise Refusal("too-many-pixels", f"{header.frames} frames have over {limits.max_total_pixels} pixels together")
    if header.profile_bytes > limits.max_profile_bytes:
        raise Refusal("too-large-metadata", f"the color profile is over {limits.max_profile_bytes} bytes")
    if header.text_bytes > limits.max_text_bytes:
        raise Refusal("too-large-metadata", f"the texts in the file are over {limits.max_text_bytes} bytes")


def check_size(width: int, height: int, limits: Limits) -> None:
    """Raises Refusal if a frame of this size is empty or exceeds the limits."""
    if width <= 0 or height <= 0:
        raise Refusal("broken-image", f"the stated size is {width} x {height}")
    if max(width, height) > limits.max_side:
        raise Refusal("too-many-pixels", f"{width} x {height}: a side may have at most {limits.max_side} pixels")
    if width * height > limits.max_pixels:
        raise Refusal("too-many-pixels", f"{width} x {height}: an image may have at most {limits.max_pixels} pixels")
