"""Processes one image: sniff, header, limits, metadata, and pixels only if the request needs them.

Pure: bytes in, facts and files out. Nothing here protects against a decoder that a file takes over; the sandbox, in
which this runs, does.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from imagesvc.processing.assessment import assess
from imagesvc.processing.contract import OutputFile, ProcessedReply, RejectedReply, Resize, Work, output_names
from imagesvc.processing.decode import DecodedImage, OpenedImage, decode, display_orientation, open_image
from imagesvc.processing.facts import MAX_NOTES, Facts
from imagesvc.processing.headers import READERS, Header, HeaderLimits, Refusal, Source
from imagesvc.processing.limits import MIB, Limits, check_header, check_size
from imagesvc.processing.metadata import Metadata, read_metadata
from imagesvc.processing.renditions import Cascade, decode_size, make_renditions, make_resize, resize_decode_size
from imagesvc.processing.sniff import SNIFF_BYTES, sniff

Size = tuple[int, int]
"""Width and height in pixels."""
WriteOutput = Callable[[int, bytes], None]
"""Takes the position of a file in ``output_names``, and its content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _FileInfo:
    """What the file states about itself, before any pixel is decoded."""

    media_type: str
    header: Header
    metadata: Metadata

    @property
    def orientation(self) -> int:
        return display_orientation(self.header, self.metadata.orientation)


def process(
    file: IO[bytes], source: Source, request: Work | Resize, limits: Limits, write: WriteOutput
) -> ProcessedReply | RejectedReply:
    """``file`` and ``source`` are the same bytes."""
    info: _FileInfo | None = None
    opened: OpenedImage | None = None
    try:
        info = _read_info(source, limits)
        with _memory_checked(info, limits):
            opened = open_image(file, source, info.media_type, info.header)
        check_size(*opened.size, limits)
        if isinstance(request, Resize):
            return _resize(info, opened, request, limits, write)
        return _work(info, opened, request, limits, write)
    except Refusal as refusal:
        facts = _facts(info, opened) if info is not None else None
        return RejectedReply(slug=refusal.slug, detail=refusal.detail, facts=facts)


def _read_info(source: Source, limits: Limits) -> _FileInfo:
    media_type = sniff(source[:SNIFF_BYTES])
    if media_type is None:
        raise Refusal("unsupported-content", "not an image of an accepted format")
    header_limits = HeaderLimits(
        frames=limits.max_frames, text_bytes=limits.max_text_bytes, profile_bytes=limits.max_profile_bytes
    )
    header = READERS[media_type](source, header_limits)
    check_header(header, limits)
    return _FileInfo(
        media_type=media_type,
        header=header,
        metadata=read_metadata(source, header, is_tiff=media_type == "image/tiff"),
    )


@contextmanager
def _memory_checked(info: _FileInfo, limits: Limits) -> Iterator[None]:
    """Turn a lack of memory for decoding into a rejection, because the file states how much the decoder allocates."""
    try:
        yield
    except MemoryError as error:
        header = info.header
        is_large = header.width * header.height * header.bytes_per_pixel * 4 > limits.sandbox_memory_bytes
        raise Refusal(
            "too-many-pixels" if is_large else "broken-image",
            f"decoding needs more than {limits.sandbox_memory_bytes // MIB} MiB of memory",
        ) from error


def _work(info: _FileInfo, opened: OpenedImage, request: Work, limits: Limits, write: WriteOutput) -> ProcessedReply:
    facts = _facts(info, opened)
    outputs: dict[int, OutputFile] = {}
    # without Pillow, only decoding shows the color mode
    if request.renditions or request.score or opened.image is None:
        presets = [preset for preset, _ in request.renditions]
        reduce_to = None if request.score else decode_size(opened.size, presets)
        with _memory_checked(info, limits):
            decoded = decode(opened, orientation=info.orientation, reduce_to=reduce_to)
        facts = _facts(info, opened, decoded)
        cascade = Cascade(decoded, _full_size(opened, decoded))
        names = output_names(request)
        for rendition in make_renditions(cascade, request.renditions):
            index = names.index(f"{rendition.preset}.{rendition.format}")
            write(index, rendition.data)
            outputs[index] = OutputFile(index=index, width=rendition.width, height=rendition.height)
        if request.score:
            facts = assess(facts, cascade)
    return ProcessedReply(
        facts=facts if request.facts or request.score else None,
        outputs=tuple(outputs[index] for index in sorted(outputs)),
    )


def _resize(
    info: _FileInfo, opened: OpenedImage, request: Resize, limits: Limits, write: WriteOutput
) -> ProcessedReply:
    reduce_to = resize_decode_size(opened.size, info.orientation, request)
    with _memory_checked(info, limits):
        decoded = decode(opened, orientation=info.orientation, reduce_to=reduce_to)
    image, data = make_resize(decoded, request, _full_size(opened, decoded))
    write(0, data)
    return ProcessedReply(outputs=(OutputFile(index=0, width=image.width, height=image.height),))


def _full_size(opened: OpenedImage, decoded: DecodedImage) -> Size:
    """Size of the stored image, before orientation. Only a JPEG may have been decoded at a smaller size."""
    return opened.size if opened.media_type == "image/jpeg" else decoded.image.size


def _facts(info: _FileInfo, opened: OpenedImage | None, decoded: DecodedImage | None = None) -> Facts:
    """The facts, as far as the file was opened and decoded. The decoder takes precedence over the header reader."""
    header, meta = info.header, info.metadata
    orientation, notes = _orientation_and_notes(info)
    (width, height), (stored_width, stored_height) = _sizes(info, opened, decoded)
    if (stored_width, stored_height) != (header.width, header.height):
        notes = ("size-differs-from-header", *notes)
    return Facts(
        media_type=info.media_type,
        width=width,
        height=height,
        stored_width=stored_width,
        stored_height=stored_height,
        orientation=orientation,
        frames=opened.frames if opened is not None else header.frames,
        color_mode=_color_mode(opened, decoded),
        has_icc_profile=header.profile_bytes > 0,
        make=meta.camera.make,
        model=meta.camera.model,
        make_raw=meta.camera.make_raw,
        model_raw=meta.camera.model_raw,
        camera=meta.camera.name,
        lens=meta.camera.lens,
        f_number=meta.exposure.f_number,
        exposure_seconds=meta.exposure.seconds,
        iso=meta.exposure.iso,
        focal_length_mm=meta.exposure.focal_length_mm,
        captured_local=meta.capture_time.local,
        captured_offset_minutes=meta.capture_time.offset_minutes,
        offset_source=meta.capture_time.offset_source,
        latitude=meta.location.latitude,
        longitude=meta.location.longitude,
        altitude_m=meta.location.altitude_m,
        notes=notes[:MAX_NOTES],
    )


def _sizes(info: _FileInfo, opened: OpenedImage | None, decoded: DecodedImage | None) -> tuple[Size, Size]:
    """Size of the upright image, and of the stored one."""
    header, is_turned = info.header, info.orientation >= 5
    left, top, right, bottom = header.crop or (0, 0, header.width, header.height)
    stated = (bottom - top, right - left) if is_turned else (right - left, bottom - top)
    upright = opened.display_size(info.orientation) if opened is not None else stated
    if decoded is not None and info.media_type != "image/jpeg":
        upright = decoded.upright_size
    if upright == stated:
        return upright, (header.width, header.height)
    return upright, upright[::-1] if is_turned else upright


def _color_mode(opened: OpenedImage | None, decoded: DecodedImage | None) -> str | None:
    if opened is None or opened.image is not None or decoded is None:
        return opened.color_mode if opened is not None else None
    return decoded.image.mode


def _orientation_and_notes(info: _FileInfo) -> tuple[int | None, tuple[str, ...]]:
    """The orientation that display uses, and a note if it overrides the one in EXIF."""
    header, exif_orientation, notes = info.header, info.metadata.orientation, info.metadata.notes
    if header.exif_orientation_applies:
        return exif_orientation, notes
    if exif_orientation not in (None, 1) and exif_orientation != (header.container_orientation or 1):
        notes = (*notes, "exif-orientation-not-applied")
    return header.container_orientation or (1 if exif_orientation else None), notes
