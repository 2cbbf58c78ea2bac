"""The media type is detected by content; formats that are not accepted have none."""

import subprocess
import sys

import pytest

from imagesvc.processing.sniff import EXTENSION_OF, SNIFF_BYTES, sniff
from tests.support import images


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (images.jpeg(size=(8, 8)), "image/jpeg"),
        (images.png(size=(8, 8)), "image/png"),
        (images.webp(size=(8, 8)), "image/webp"),
        (images.webp(size=(8, 8), lossless=True), "image/webp"),
        (images.webp(size=(8, 8), exif=images.exif()), "image/webp"),
        (images.gif(size=(8, 8)), "image/gif"),
        (images.tiff(size=(8, 8)), "image/tiff"),
        (images.tiff(size=(8, 8), big_tiff=True), "image/tiff"),
        (images.bmp(size=(8, 8)), "image/bmp"),
        (images.heic(size=(64, 64)), "image/heic"),
        (images.avif(size=(8, 8)), "image/avif"),
    ],
)
def test_every_accepted_format_is_known_by_its_first_bytes(data: bytes, media_type: str) -> None:
    assert sniff(data[:SNIFF_BYTES]) == media_type
    assert media_type in EXTENSION_OF


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\x00 not a marker",
        b"\xff\xd8\xff\xf7 JPEG-LS",
        b"\x89PNG\r\n\x1a\n" + b"\0\0\0\4CgBI",
        b"BM is how this text begins, and it goes on for a while without being a bitmap",
        b"GIF89a",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"RIFF\0\0\0\0WEBPjunk",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<?xml version='1.0'?><svg/>",
        b"<!DOCTYPE html><html>",
        b"hello, world",
        b"%PDF-1.7",
        b"II*\0\x10\0\0\0CR\x02\0 a camera's raw file",
        b"MM\0*\0\0\0\0 the first directory would be in the header",
        b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41",
        b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
        b"\0\0\0\x0cjP  \r\n\x87\n",
        b"\0\0\1\0\1\0\x10\x10",
    ],
)
def test_anything_else_has_no_type(data: bytes) -> None:
    assert sniff(data) is None


@pytest.mark.parametrize(
    ("major", "compatible", "media_type"),
    [
        (b"heic", b"mif1heic", "image/heic"),
        (b"heix", b"mif1", "image/heic"),
        (b"hevc", b"msf1hevc", "image/heic"),
        (b"mif1", b"mif1heic", "image/heic"),
        (b"mif1", b"mif1avifmiaf", "image/avif"),
        (b"mif1", b"mif1miaf", "image/heif"),
        (b"avis", b"msf1avifmif1", "image/avif"),
        (b"abcd", b"mif1heic", "image/heic"),
        (b"abcd", b"mif1", None),
        (b"mp42", b"isommp42", None),
    ],
)
def test_brands_distinguish_heif_files(major: bytes, compatible: bytes, media_type: str | None) -> None:
    box = b"ftyp" + major + b"\0\0\0\0" + compatible
    assert sniff((len(box) + 4).to_bytes(4, "big") + box + b"\0\0\0\x08meta") == media_type


def test_fill_bytes_before_the_first_marker_of_a_jpeg_are_accepted() -> None:
    assert sniff(b"\xff\xd8\xff\xff\xff\xe0\0\x10JFIF\0") == "image/jpeg"


def test_the_web_process_gets_no_imaging_library_with_it() -> None:
    code = "import sys, imagesvc.processing.sniff; sys.exit(any(m in sys.modules for m in ('PIL', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
