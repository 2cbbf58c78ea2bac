"""Work on one image: sniff, header, limits, metadata, then pixels only where they are asked for.

Pure: bytes in, facts and files out. It runs inside the sandbox; nothing here defends against the decoder itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from imagesvc.processing.assessment import judged
from imagesvc.processing.contract import Made, ProcessedReply, RejectedReply, Resize, Work, output_names
from imagesvc.processing.decode import Opened, Picture, decode, open_image, shown_orientation
from imagesvc.processing.facts import Facts
from imagesvc.processing.headers import READERS, Header, HeaderLimits, Refusal, Source
from imagesvc.processing.limits import Limits, check, check_size
from imagesvc.processing.metadata import Metadata, read_metadata
from imagesvc.processing.renditions import Cascade, decode_size, renditions, resize, resize_decode_size
from imagesvc.processing.sniff import SNIFF_BYTES, sniff

Write = Callable[[int, bytes], None]
"""takes a file by its place in ``output_names``"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    media_type: str
    header: Header
    metadata: Metadata

    @property
    def orientation(self) -> int:
        return shown_orientation(self.header, self.metadata.orientation)


def process(
    file: IO[bytes], source: Source, request: Work | Resize, limits: Limits, write: Write
) -> ProcessedReply | RejectedReply:
    """``file`` and ``source`` are the same bytes."""
    known: _Known | None = None
    opened: Opened | None = None
    try:
        known = _read(source, limits)
        opened = open_image(file, source, known.media_type, known.header)
        check_size(*opened.size, limits)
        if isinstance(request, Resize):
            return _resize(known, opened, request, write)
        return _work(known, opened, request, write)
    except Refusal as refusal:
        facts = _facts(known, opened) if known is not None else None
        return RejectedReply(slug=refusal.slug, detail=refusal.detail, facts=facts)


def _read(source: Source, limits: Limits) -> _Known:
    media_type = sniff(source[:SNIFF_BYTES])
    if media_type is None:
        raise Refusal("unsupported-content", "not an image of an accepted format")
    header_limits = HeaderLimits(
        frames=limits.max_frames, text_bytes=limits.max_text_bytes, profile_bytes=limits.max_profile_bytes
    )
    header = READERS[media_type](source, header_limits)
    check(header, limits)
    return _Known(
        media_type=media_type,
        header=header,
        metadata=read_metadata(source, header, is_tiff=media_type == "image/tiff"),
    )


def _work(known: _Known, opened: Opened, request: Work, write: Write) -> ProcessedReply:
    facts = _facts(known, opened)
    made: dict[int, Made] = {}
    if request.renditions or request.score:
        presets = [preset for preset, _ in request.renditions]
        reduce_to = None if request.score else decode_size(opened.size, presets)
        picture = decode(opened, orientation=known.orientation, reduce_to=reduce_to)
        cascade = Cascade(picture, _full_size(known, picture))
        names = output_names(request)
        for rendition in renditions(cascade, request.renditions):
            index = names.index(f"{rendition.preset}.{rendition.format}")
            write(index, rendition.data)
            made[index] = Made(index=index, width=rendition.width, height=rendition.height)
        if request.score:
            facts = judged(facts, cascade)
    wanted = facts if request.facts or request.score else None
    return ProcessedReply(facts=wanted, made=tuple(made[index] for index in sorted(made)))


def _resize(known: _Known, opened: Opened, request: Resize, write: Write) -> ProcessedReply:
    reduce_to = resize_decode_size(opened.size, known.orientation, request)
    picture = decode(opened, orientation=known.orientation, reduce_to=reduce_to)
    image, data = resize(picture, request, _full_size(known, picture))
    write(0, data)
    return ProcessedReply(made=(Made(index=0, width=image.width, height=image.height),))


def _full_size(known: _Known, picture: Picture) -> tuple[int, int]:
    """Of the picture before turning; only JPEGs are decoded smaller than they are."""
    if known.media_type == "image/jpeg":
        return known.header.width, known.header.height
    return picture.image.size


def _facts(known: _Known, opened: Opened | None) -> Facts:
    header, meta = known.header, known.metadata
    orientation = meta.orientation
    notes = meta.notes
    if not header.exif_orientation_applies:
        if orientation not in (None, 1) and orientation != (header.container_orientation or 1):
            notes = (*notes, "exif-orientation-not-applied")
        orientation = header.container_orientation or (1 if orientation else None)
    left, top, right, bottom = header.crop or (0, 0, header.width, header.height)
    width, height = right - left, bottom - top
    if (orientation or 1) >= 5:
        width, height = height, width
    return Facts(
        media_type=known.media_type,
        width=width,
        height=height,
        stored_width=header.width,
        stored_height=header.height,
        orientation=orientation,
        frames=header.frames,
        color_mode=opened.color_mode if opened is not None else None,
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
        notes=notes[:32],
    )
