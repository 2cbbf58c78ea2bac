"""Camera, exposure and the other metadata: valid values are read, invalid ones are absent and noted."""

import struct
from dataclasses import asdict

import pytest

from tests.processing.run_pipeline import facts_of
from tests.processing.tagged_jpegs import MAKE, MODEL, ORIGINAL, PLAIN, facts_with, local
from tests.support import images
from tests.support.exif_blocks import SHORT, UNDEFINED, Tag, block, fractions, jpeg_with, long, packet, short, text


def test_exif_is_read_in_every_format_that_can_carry_it() -> None:
    tags = {"latitude": 48.85837, "longitude": -2.29448, "altitude": -12.5, "subseconds": "5", "orientation": 6}
    for maker in (images.jpeg, images.png, images.webp, images.heic, images.avif, images.tiff):
        facts = facts_of(maker(size=(70, 66), exif=images.exif(**tags)))  # type: ignore[arg-type]
        assert (facts.make, facts.model, facts.orientation) == ("Acme", "Acme Cam 9", 6)
        assert (facts.width, facts.height, facts.stored_width, facts.stored_height) == (66, 70, 70, 66)
        assert facts.captured_local == local(2020, 9, 2, 10, 11, 12, 500_000)
        assert (facts.captured_offset_minutes, facts.offset_source) == (120, "exif")
        assert facts.latitude == pytest.approx(48.85837, abs=1e-6)
        assert facts.longitude == pytest.approx(-2.29448, abs=1e-6)
        assert facts.altitude_m == -12.5
        assert facts.notes == ()


def test_an_image_without_metadata_has_no_metadata_facts() -> None:
    facts = facts_of(PLAIN)
    known = {name: value for name, value in asdict(facts).items() if value not in (None, ())}
    assert known == {
        "media_type": "image/jpeg",
        "width": 16,
        "height": 8,
        "stored_width": 16,
        "stored_height": 8,
        "frames": 1,
        "color_mode": "RGB",
        "has_icc_profile": False,
    }


# --- the camera


@pytest.mark.parametrize(
    ("make", "model", "name"),
    [
        ("Canon", "Canon EOS 80D", "Canon EOS 80D"),
        ("Canon", "Canon Canon EOS 80D ", "Canon EOS 80D"),
        ("Canon", "CANON canon Canon EOS 80D", "Canon EOS 80D"),
        ("NIKON CORPORATION", "NIKON D300", "NIKON D300"),
        ("Apple", "iPhone 14 Pro", "iPhone 14 Pro"),
        ("Acme", "  Cam   9\t", "Cam 9"),
        ("Acme", "Cam 9\0 and what was in memory", "Cam 9"),
        ("Acme", "Acmera 3", "Acmera 3"),
        ("Acme", "Größe", "Größe"),
        ("Acme", "-----", None),
        ("Acme", "   ", None),
    ],
)
def test_all_spellings_of_a_model_get_the_same_camera_name(make: str, model: str, name: str | None) -> None:
    facts = facts_with(text(MAKE, make), text(MODEL, model))
    assert facts.camera == name
    assert facts.make == make


def test_raw_camera_names_are_kept_unchanged() -> None:
    facts = facts_with(text(MAKE, " Canon "), text(MODEL, "Canon Canon EOS 80D "))
    assert (facts.make_raw, facts.model_raw) == (" Canon ", "Canon Canon EOS 80D ")
    assert (facts.make, facts.model) == ("Canon", "Canon EOS 80D")


def test_camera_names_are_made_storable() -> None:
    assert facts_with(text(MODEL, b"Caf\xe9 1")).model == "Café 1"
    assert facts_with(text(MODEL, b"A\x01B\x7f\x1b[0m")).model == "AB[0m"
    assert facts_with(text(MODEL, "x" * 60_000)).model == "x" * 200
    assert facts_with(text(MODEL, b"\xed\xa0\x80 half a pair")).model is not None
    assert facts_with(Tag(MODEL, UNDEFINED, b"Undefined Cam\0\0")).model == "Undefined Cam"


# --- the exposure


def test_exposure_values_are_read() -> None:
    exif = (fractions(0x829D, (28, 10)), fractions(0x829A, (1, 250)), short(0x8827, 400), fractions(0x920A, (35, 1)))
    facts = facts_with(exif=(*exif, text(0xA434, "EF 35mm f/2")))
    assert (facts.f_number, facts.exposure_seconds, facts.iso, facts.focal_length_mm) == (2.8, 0.004, 400, 35.0)
    assert facts.lens == "EF 35mm f/2"


def test_an_iso_value_over_16_bits_is_read_from_the_wider_tag() -> None:
    assert facts_with(exif=(short(0x8827, 65_535), long(0x8833, 102_400))).iso == 102_400


def test_fractions_with_denominator_0_are_absent() -> None:
    exif = (fractions(0x829D, (5, 0)), fractions(0x829A, (0, 0)), fractions(0x920A, (0, 10)), short(0x8827, 0))
    facts = facts_with(exif=exif)
    assert (facts.f_number, facts.exposure_seconds, facts.focal_length_mm, facts.iso) == (None, None, None, None)
    assert set(facts.notes) == {"f-number-unreadable", "exposure-time-unreadable"}


# --- orientation


@pytest.mark.parametrize("value", [0, 9, 65_535])
def test_an_orientation_out_of_range_is_absent_and_noted(value: int) -> None:
    facts = facts_with(short(0x112, value))
    assert (facts.orientation, facts.notes) == (None, ("orientation-unreadable",))
    assert (facts.width, facts.height) == (16, 8)


@pytest.mark.parametrize("value", range(1, 9))
def test_the_displayed_size_follows_the_orientation(value: int) -> None:
    facts = facts_with(short(0x112, value))
    assert facts.orientation == value
    assert (facts.width, facts.height) == ((16, 8) if value < 5 else (8, 16))


# --- XMP


def test_xmp_supplies_each_field_that_exif_lacks() -> None:
    xmp = packet(
        'tiff:Make="Xmp Make" tiff:Model="Xmp Cam" exif:FNumber="28/10" exif:ExposureTime="1/250" aux:Lens="XL 5"'
        ' exif:DateTimeOriginal="2020-09-02T10:11:12.25+02:00" exif:GPSLatitude="48,51.5022N"'
        ' exif:GPSLongitude="2,17,40W" exif:GPSAltitude="350/10" exif:GPSAltitudeRef="1"',
        "<exif:ISOSpeedRatings><rdf:Seq><rdf:li>320</rdf:li></rdf:Seq></exif:ISOSpeedRatings>"
        "<exif:FocalLength>50/1</exif:FocalLength>",
    )
    facts = facts_with(text(MAKE, "Exif Make"), xmp=xmp)
    assert (facts.make, facts.model, facts.lens) == ("Exif Make", "Xmp Cam", "XL 5")
    assert (facts.f_number, facts.exposure_seconds, facts.iso, facts.focal_length_mm) == (2.8, 0.004, 320, 50.0)
    assert facts.captured_local == local(2020, 9, 2, 10, 11, 12, 250_000)
    assert (facts.captured_offset_minutes, facts.offset_source) == (120, "exif")
    assert facts.latitude == pytest.approx(48.85837)
    assert facts.longitude == pytest.approx(-2.294444, abs=1e-6)
    assert facts.altitude_m == -35.0


def test_the_xmp_of_a_gif_is_read() -> None:
    """XMP specification, part 3: the packet is stored as it is, and a trailer leads any reader out of it."""
    plain = images.encode(images.picture(size=(8, 8)).convert("P"), "GIF")
    trailer = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    extension = b"\x21\xff\x0bXMP DataXMP" + packet('tiff:Model="Xmp Cam"') + trailer
    at = len(plain) - 1

    facts = facts_of(plain[:at] + extension + plain[at:])

    assert (facts.model, facts.frames) == ("Xmp Cam", 1)


def test_exif_takes_precedence_over_xmp() -> None:
    xmp = packet('exif:DateTimeOriginal="1999-01-01T00:00:00Z" tiff:Model="Xmp Cam"')
    facts = facts_with(text(MODEL, "Exif Cam"), exif=(text(ORIGINAL, "2020:09:02 10:11:12"),), xmp=xmp)
    assert (facts.model, facts.captured_local) == ("Exif Cam", local(2020, 9, 2, 10, 11, 12))
    assert facts.captured_offset_minutes is None


def test_properties_nested_in_an_xmp_history_are_ignored() -> None:
    nested = '<photoshop:Nested><rdf:Description tiff:Model="Another Cam"/></photoshop:Nested>'
    assert facts_with(xmp=packet(children=nested)).model is None


@pytest.mark.parametrize(
    "xmp",
    [
        b"no XML at all",
        packet()[:-60],
        packet('tiff:Model="a" tiff:Model="b"'),
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]>' + packet('tiff:Model="&a;"'),
        b"\xff" * 100,
    ],
)
def test_an_unreadable_xmp_packet_is_noted(xmp: bytes) -> None:
    facts = facts_with(text(MAKE, "Acme"), xmp=xmp)
    assert (facts.make, facts.model, facts.notes) == ("Acme", None, ("xmp-unreadable",))


def test_xmp_in_utf_16_is_read() -> None:
    xmp = packet('tiff:Model="Größe 9"').decode().encode("utf-16")
    assert facts_with(xmp=xmp).model == "Größe 9"


# --- hostile EXIF


HOSTILE = {
    "empty": b"",
    "not a TIFF structure": b"garbage" * 10,
    "truncated in the header": b"MM\0*",
    "a first directory beyond the end": b"MM\0*\x7f\xff\xff\xff",
    "a directory that is its own exposure directory": block(long(0x8769, 8), long(0x8825, 8)),
    "65 535 entries stated, one present": b"MM\0*\0\0\0\x08\xff\xff" + struct.pack(">HHII", MAKE, 2, 4, 0x41424300),
    "values beyond the end": block(
        Tag(MAKE, 2, b"\x7f\xff\xff\xff", count=100), Tag(0x112, SHORT, b"\0\1", count=2**31)
    ),
    "unknown types": block(Tag(MAKE, 1, b"abcd"), Tag(MODEL, 12, b"\x7f\xf8\0\0\0\0\0\0")),
    "numbers instead of texts": block(short(MODEL, 5), exif=(short(ORIGINAL, 7), fractions(0x9011, (1, 0)))),
    "texts instead of numbers": block(text(0x112, "six"), exif=(text(0x829D, "f/2"), text(0x8827, "400"))),
    "pointers that are texts": block(text(0x8769, "here"), text(0x8825, "there")),
}


@pytest.mark.parametrize("exif", HOSTILE.values(), ids=HOSTILE)
def test_bad_metadata_is_never_an_error(exif: bytes) -> None:
    facts = facts_of(jpeg_with(PLAIN, exif=exif))
    assert (facts.stored_width, facts.model, facts.captured_local, facts.latitude) == (16, None, None, None)


def test_entries_that_share_the_same_megabytes_are_not_read() -> None:
    entries = b"".join(struct.pack(">HHII", number, 2, 20_000_000, 8) for number in range(65_535))
    exif = b"MM\0*\0\0\0\x08\xff\xff" + entries + b"\0\0\0\0" + b"x" * 20_000_000
    facts = facts_of(images.png_of_chunks(8, 8, images.png_chunk(b"eXIf", exif), pixels=b"\0" * 72))
    assert facts.model is None or len(facts.model) <= 200
