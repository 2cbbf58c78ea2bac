"""Which files are rejected as the sender's fault, with which reason, and which facts are kept."""

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from imagesvc.processing.contract import Rejected, Work
from imagesvc.processing.decode import _UNSUPPORTED_TIFF_COMPRESSIONS
from imagesvc.processing.limits import MIB
from imagesvc.processing.sandbox.sandbox import Sandbox
from tests.processing.pictures import FULL
from tests.processing.run_pipeline import refusal_of, work_on
from tests.processing.sandboxes import LIMITS, outcome_of
from tests.support import images


async def rejection(sandbox: Sandbox, data: bytes) -> Rejected:
    outcome = await outcome_of(sandbox, data, Work(score=False))
    assert isinstance(outcome, Rejected), outcome
    return outcome


@pytest.mark.asyncio(loop_scope="module")
async def test_a_png_chunk_longer_than_the_memory_is_the_files_fault(sandbox: Sandbox, cases: Path) -> None:
    rejected = await rejection(sandbox, (cases / "png_chunk_length_ffffffff.png").read_bytes())

    assert rejected.slug == "broken-image"
    assert rejected.facts is not None
    assert (rejected.facts.width, rejected.facts.height) == (10, 10)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("kind", [b"tEXt", b"iCCP", b"eXIf", b"zTXt", b"IDAT", b"prVt"])
async def test_no_length_in_a_png_exhausts_the_memory(sandbox: Sandbox, kind: bytes) -> None:
    whole = images.png(size=(16, 12))
    end = whole.rindex(b"IEND") - 4
    data = whole[:end] + struct.pack(">I4s", 0xFFFFFFF0, kind) + b"x" * 64

    outcome = await outcome_of(sandbox, data, Work(score=False))

    assert getattr(outcome, "reason", None) is None, outcome


@pytest.mark.asyncio(loop_scope="module")
async def test_a_header_that_states_more_pixels_than_fit_in_the_memory_is_rejected(sandbox: Sandbox) -> None:
    header = images.png_chunk(b"IHDR", struct.pack(">IIBBBBB", 13_000, 13_000, 8, 6, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + images.png_chunk(b"IDAT", zlib.compress(bytes(64)))

    rejected = await rejection(sandbox, data)

    assert rejected.slug == "too-many-pixels"
    assert rejected.detail == f"decoding needs more than {LIMITS.sandbox_memory_bytes // MIB} MiB of memory"


def test_a_tiff_in_an_unsupported_compression_is_not_called_damaged(cases: Path) -> None:
    refusal = refusal_of((cases / "tiff_webp_compressed.tif").read_bytes())

    assert (refusal.slug, refusal.detail) == (
        "unsupported-content",
        "TIFF files with webp compression are not supported",
    )
    assert refusal.facts is not None


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg", "tiff_adobe_deflate", "packbits", "lzma", "zstd"])
def test_every_other_compression_is_decoded(compression: str) -> None:
    data = images.encode(images.picture(size=(64, 48)), "TIFF", compression=compression)

    assert work_on(data, FULL).picture().size == (64, 48)
    assert compression not in _UNSUPPORTED_TIFF_COMPRESSIONS


def test_an_unsupported_compression_is_still_missing_in_the_decoder() -> None:
    with pytest.raises(OSError, match="encoder error"):
        Image.new("RGB", (8, 8)).save(io.BytesIO(), "TIFF", compression="webp")


@pytest.mark.parametrize(("keep", "low", "high"), [(0.25, 60, 90), (0.5, 35, 65), (0.9, 2, 20)])
def test_a_truncated_jpeg_keeps_its_facts_and_says_how_much_is_missing(keep: float, low: int, high: int) -> None:
    whole = images.exif_jpeg(size=(640, 480))

    refusal = refusal_of(whole[: int(len(whole) * keep)])

    assert refusal.slug == "broken-image"
    prefix, suffix = "the file ends too early: the last ", " % of the image are missing"
    assert low <= int(refusal.detail.removeprefix(prefix).removesuffix(suffix)) <= high
    assert refusal.facts is not None
    assert (refusal.facts.width, refusal.facts.height, refusal.facts.camera) == (640, 480, "Acme Cam 9")


def test_a_truncated_progressive_jpeg_says_that_it_is_incomplete() -> None:
    whole = images.jpeg(size=(640, 480), progressive=True)

    refusal = refusal_of(whole[: len(whole) // 2])

    assert refusal.slug == "broken-image"
    assert refusal.detail.startswith("the file ends too early")
