"""Metadata that is malformed, or in an encoding that few readers know, never fails an image."""

import random
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagesvc.processing.contract import Processed
from imagesvc.processing.facts import Facts
from imagesvc.processing.headers import Header
from imagesvc.processing.metadata import read_metadata
from imagesvc.processing.sandbox.sandbox import Sandbox
from tests.processing.pictures import FULL
from tests.processing.run_pipeline import facts_of, work_on
from tests.processing.sandboxes import outcome_of
from tests.support import images
from tests.support.exif_blocks import Tag, block, fractions, jpeg_with, packet, short, text
from tests.support.icc_profiles import ADOBE_RGB, rgb_profile

MAX_SECONDS = 0.05
"""Of process time, for one file's metadata."""
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

GOOD_EXIF = block(
    text(0x10F, "Acme"),
    text(0x110, "Acme Cam 9"),
    short(0x112, 6),
    exif=(
        text(0x9003, "2020:09:02 10:11:12"),
        text(0x9011, "+02:00"),
        fractions(0x829D, (28, 10)),
        fractions(0x829A, (1, 125)),
        short(0x8827, 400),
    ),
    gps=(
        text(1, "N"),
        fractions(2, (48, 1), (51, 1), (30, 1)),
        text(3, "E"),
        fractions(4, (2, 1), (21, 1), (3, 1)),
        fractions(7, (8, 1), (11, 1), (12, 1)),
        text(29, "2020:09:02"),
    ),
)
GOOD_XMP = packet('tiff:Make="Acme" exif:DateTimeOriginal="2020-09-02T10:11:12" exif:GPSLatitude="48,51.5N"')


def read_within_bounds(exif: bytes | None, xmp: bytes | None) -> None:
    header = Header(width=8, height=8, exif=exif, xmp=xmp)
    assert len(read_metadata(b"", header, is_tiff=False).notes) <= 32
    # the shortest of several runs: a garbage collection may fall into one
    assert any(seconds_of(header) < MAX_SECONDS for _ in range(5))


def seconds_of(header: Header) -> float:
    started = time.process_time()
    read_metadata(b"", header, is_tiff=False)
    return time.process_time() - started


@FUZZ
@given(st.binary(max_size=600))
def test_arbitrary_bytes_as_exif_never_raise(data: bytes) -> None:
    read_within_bounds(b"MM\0*\0\0\0\x08" + data, None)
    read_within_bounds(data, None)


@FUZZ
@given(st.one_of(st.binary(max_size=600), st.text(max_size=600).map(lambda value: value.encode("utf-16-be", "ignore"))))
def test_arbitrary_bytes_as_xmp_never_raise(data: bytes) -> None:
    read_within_bounds(None, data)
    read_within_bounds(None, GOOD_XMP[:200] + data + GOOD_XMP[200:])


def mutated(data: bytes, seed: int, count: int) -> bytes:
    """``count`` bytes replaced, or pieces cut out or repeated."""
    chance, changed = random.Random(seed), bytearray(data)
    for _ in range(count):
        at = chance.randrange(len(changed))
        match chance.randrange(6):
            case 0:
                del changed[at : at + chance.randrange(1, 9)]
            case 1:
                changed[at:at] = changed[at : at + chance.randrange(1, 40)]
            case _:
                changed[at] = chance.choice((0, 0xFF, 0x7F, 0x80, chance.randrange(256)))
    return bytes(changed)


@FUZZ
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_mutated_exif_and_xmp_never_raise(seed: int, count: int) -> None:
    read_within_bounds(mutated(GOOD_EXIF, seed, count), mutated(GOOD_XMP, seed, count))


NUMBERS = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2**31, 2**32 - 1]))
VALUES = st.one_of(
    st.binary(max_size=40).map(lambda data: (2, data + b"\0")),
    st.binary(min_size=1, max_size=40).map(lambda data: (7, data)),
    st.lists(NUMBERS, min_size=2, max_size=6).map(
        lambda values: (5, b"".join(value.to_bytes(4, "big") for value in values[: len(values) // 2 * 2]))
    ),
    NUMBERS.map(lambda value: (4, value.to_bytes(4, "big"))),
)
READ_TAGS = (
    0x10F,
    0x110,
    0x112,
    0x9003,
    0x9004,
    0x9010,
    0x9011,
    0x9291,
    0x829A,
    0x829D,
    0x8827,
    0x8833,
    0x920A,
    0xA434,
)


@FUZZ
@given(
    st.dictionaries(st.sampled_from(READ_TAGS), VALUES, max_size=8),
    st.dictionaries(st.integers(0, 31), VALUES, max_size=12),
)
def test_valid_directories_with_arbitrary_values_never_raise(
    exif: dict[int, tuple[int, bytes]], gps: dict[int, tuple[int, bytes]]
) -> None:
    tags = tuple(Tag(number, kind, data) for number, (kind, data) in exif.items())
    places = tuple(Tag(number, kind, data) for number, (kind, data) in gps.items())
    read_within_bounds(block(*tags, exif=tags, gps=places), None)


@FUZZ
@given(st.integers(0, 2**32), st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"]))
def test_a_picture_with_mutated_exif_is_processed(seed: int, format: str) -> None:
    exif = mutated(GOOD_EXIF, seed, 1 + seed % 8)
    plain = images.picture(size=(16, 12))
    if format == "JPEG":
        data = jpeg_with(images.encode(plain, format), exif=exif)
    elif format == "TIFF":
        data = images.encode(plain, format, tiffinfo={33_432: exif.hex()})
    else:
        same_size = exif[: len(GOOD_EXIF)].ljust(len(GOOD_EXIF))
        data = images.encode(plain, format, exif=b"Exif\0\0" + GOOD_EXIF).replace(GOOD_EXIF, same_size)

    assert work_on(data, FULL).picture().format == "WEBP"


# --- encodings


async def facts_in(sandbox: Sandbox, data: bytes) -> Facts:
    outcome = await outcome_of(sandbox, data)
    assert isinstance(outcome, Processed), outcome
    assert outcome.facts is not None
    return outcome.facts


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
def test_xmp_in_every_allowed_encoding_is_read(encoding: str) -> None:
    xmp = packet('tiff:Make="Acmé" tiff:Model="Cam 9"').decode().encode(encoding)

    facts = facts_of(jpeg_with(images.jpeg(size=(16, 12)), xmp=xmp))

    assert (facts.make, facts.model, facts.notes) == ("Acmé", "Cam 9", ())


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
async def test_the_confined_process_has_every_encoding_of_xmp(sandbox: Sandbox, encoding: str) -> None:
    """A confined child may not be able to import a codec that nothing used before."""
    xmp = packet('tiff:Make="Acmé"').decode().encode(encoding)

    facts = await facts_in(sandbox, jpeg_with(images.jpeg(size=(16, 12)), xmp=xmp))

    assert (facts.make, facts.notes) == ("Acmé", ())


@pytest.mark.asyncio(loop_scope="module")
async def test_a_packet_that_is_not_xml_is_a_note(sandbox: Sandbox, cases: Path) -> None:
    facts = await facts_in(sandbox, (cases / "xmp_not_xml.jpg").read_bytes())

    assert facts.notes == ("xmp-unreadable",)


# --- color profiles


@FUZZ
@given(st.integers(0, 2**32), st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF"]), st.sampled_from(["RGB", "L"]))
def test_a_picture_with_a_mutated_profile_is_processed(seed: int, format: str, mode: str) -> None:
    profile = mutated(rgb_profile(ADOBE_RGB), seed, 1 + seed % 8)
    data = images.encode(images.picture(size=(16, 12), mode=mode), format, icc_profile=profile)

    assert work_on(data, FULL).picture().size == (16, 12)


@FUZZ
@given(st.binary(min_size=1, max_size=400), st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF"]))
def test_a_picture_with_arbitrary_bytes_as_profile_is_processed(profile: bytes, format: str) -> None:
    data = images.encode(images.picture(size=(16, 12)), format, icc_profile=profile)

    assert work_on(data, FULL).picture().size == (16, 12)
