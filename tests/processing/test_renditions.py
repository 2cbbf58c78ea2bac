"""Renditions: upright, sRGB, the right size, without metadata, as good as Pillow's own."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from imagesvc.processing import renditions
from imagesvc.processing.contract import Format, Preset, Work
from imagesvc.processing.decode import DecodedImage, decode, open_image
from imagesvc.processing.headers import Header
from tests.processing.pictures import FULL, STORED_AS, color, corners, is_upright, near
from tests.processing.run_pipeline import work_on
from tests.support import images
from tests.support.exif_blocks import block, jpeg_with, packet, short
from tests.support.icc_profiles import ADOBE_RGB, rgb_profile


def wanted(*renditions: tuple[Preset, Format]) -> Work:
    return Work(score=False, renditions=renditions)


def psnr(one: Image.Image, other: Image.Image) -> float:
    assert (one.size, one.mode) == (other.size, other.mode)
    difference = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    return float(10 * np.log10(255**2 / max(float(np.mean(difference**2)), 1e-9)))


# --- sizes


def test_the_eager_renditions_have_their_sizes() -> None:
    done = work_on(images.jpeg(size=(2400, 1800)), Work(score=False))
    assert [(output.width, output.height) for output in done.reply.outputs] == [(320, 240), (1024, 768), (2048, 1536)]
    assert [done.picture(n).size for n in range(3)] == [(320, 240), (1024, 768), (2048, 1536)]


def test_an_image_is_never_enlarged() -> None:
    done = work_on(images.jpeg(size=(400, 300)), Work(score=False))
    assert [done.picture(n).size for n in range(len(done.files))] == [(320, 240), (400, 300)]


@pytest.mark.parametrize(
    ("size", "made"),
    [
        ((300, 320), [0]),
        ((321, 9), [0, 1]),
        ((640, 1024), [0, 1]),
        ((1025, 7), [0, 1, 2]),
        ((3, 2048), [0, 1, 2]),
        ((2049, 3), [0, 1, 2]),
    ],
)
def test_of_the_presets_that_show_the_whole_image_one_is_made(size: tuple[int, int], made: list[int]) -> None:
    done = work_on(images.png(size=size), Work(score=False))

    assert [output.index for output in done.reply.outputs] == made


def test_each_format_has_its_own_rendition_of_the_whole_image() -> None:
    done = work_on(images.jpeg(size=(80, 60)), wanted(("full", "jpg"), ("large", "webp"), ("large", "jpg")))

    assert [output.index for output in done.reply.outputs] == [1, 2]


def test_a_very_thin_image_keeps_one_pixel_of_height() -> None:
    assert work_on(images.png(size=(3000, 2)), wanted(("thumb", "webp"))).picture().size == (320, 1)


def test_renditions_are_in_the_requested_order_and_formats() -> None:
    order: tuple[tuple[Preset, Format], ...] = (
        ("thumb", "avif"),
        ("full", "jpg"),
        ("medium", "webp"),
        ("thumb", "jpg"),
    )
    done = work_on(images.jpeg(size=(1300, 900)), wanted(*order))
    assert [Image.open(io.BytesIO(data)).format for data in done.files] == ["AVIF", "JPEG", "WEBP", "JPEG"]
    assert [done.picture(n).width for n in range(4)] == [320, 1300, 1024, 320]


def test_full_is_made_as_large_as_its_format_can_hold() -> None:
    done = work_on(images.png(size=(17_000, 4)), wanted(("full", "webp"), ("full", "jpg")))
    assert [done.picture(n).size for n in range(2)] == [(16_383, 4), (17_000, 4)]


# --- quality


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
@pytest.mark.parametrize("size", [(2500, 1900), (4100, 600)])
def test_resizing_is_as_good_as_pillows_lanczos(size: tuple[int, int], mode: str) -> None:
    """Measured on what the encoder is given."""
    original = images.picture(size=size, mode=mode)
    picture = DecodedImage(image=original, orientation=1, profile=None, primaries=None, transfer=None)
    large = renditions.displayable(picture, renditions.fit_within(size, 2048))
    medium = renditions.resized(large, renditions.fit_within(size, 1024))
    thumb = renditions.resized(medium, renditions.fit_within(size, 320))
    for made in (large, medium, thumb):
        expected = original.resize(made.size, Image.Resampling.LANCZOS)
        assert psnr(_visible(made), _visible(expected)) > 40


def _visible(image: Image.Image) -> Image.Image:
    """What a viewer sees: colors under full transparency are nobody's."""
    if image.mode != "RGBA":
        return image
    ground = Image.new("RGBA", image.size, "gray")
    return Image.alpha_composite(ground, image)


def test_a_jpeg_decoded_at_a_fraction_of_its_size_has_the_same_quality() -> None:
    data, size = images.jpeg(size=(3000, 2000), quality=90), (3000, 2000)
    opened = open_image(io.BytesIO(data), data, "image/jpeg", Header(width=3000, height=2000))
    picture = decode(opened, orientation=1, reduce_to=renditions.decode_size(size, ["thumb"]))
    assert picture.image.size == (750, 500)  # an eighth would do for 320 pixels, and be seen
    thumb = renditions.Cascade(picture, size).image_within(320)
    expected = Image.open(io.BytesIO(data)).resize(thumb.size, Image.Resampling.LANCZOS)
    assert psnr(thumb, expected) > 40


# --- orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_renditions_of_every_orientation_are_upright(format: str, orientation: int) -> None:
    exif = images.exif(orientation=orientation)
    data = images.encode(corners(STORED_AS[orientation]), format, exif=exif.tobytes() if format == "HEIF" else exif)
    done = work_on(data, wanted(("full", "webp"), ("thumb", "jpg")))
    assert done.picture(0).size == (320, 240)
    assert is_upright(done.picture(0))
    assert is_upright(done.picture(1))
    assert (done.facts.width, done.facts.height, done.facts.orientation or 1) == (320, 240, orientation)


def test_a_heif_with_an_orientation_only_in_exif_is_not_turned() -> None:
    """The container's rotation decides (ISO/IEC 23008-12); EXIF's is for information and may be left over."""
    heif = images.encode(corners(None), "HEIF")
    tagged = images.encode(corners(None), "HEIF", exif=images.exif(orientation=6).tobytes())
    untagged_rotation = tagged.replace(b"irot\x03", b"irot\x00")
    assert untagged_rotation != tagged
    done = work_on(untagged_rotation, FULL)
    assert is_upright(done.picture())
    assert (done.facts.orientation, done.facts.notes) == (1, ("exif-orientation-not-applied",))
    assert work_on(heif).facts.orientation is None


def test_an_orientation_that_only_xmp_states_is_not_applied() -> None:
    xmp = packet('tiff:Orientation="6"')
    for data in (
        jpeg_with(images.encode(corners(None), "JPEG"), xmp=xmp),
        images.encode(corners(None), "TIFF", tiffinfo={700: xmp}),
    ):
        done = work_on(data, FULL)
        assert is_upright(done.picture())
        assert (done.facts.orientation, done.facts.width) == (None, 320)


# --- metadata


@pytest.mark.parametrize("format", ["webp", "jpg", "avif"])
def test_renditions_have_no_metadata(format: Format) -> None:
    data = jpeg_with(
        images.jpeg(size=(400, 300), icc_profile=rgb_profile(ADOBE_RGB), comment=b"secret"),
        exif=block(short(0x112, 6)),
        xmp=packet('tiff:Make="Secret"'),
    )
    for preset in ("thumb", "full"):
        made = work_on(data, wanted((preset, format)))
        info = set(made.picture().info)
        assert not info & {"exif", "icc_profile", "xmp", "comment"}
        assert b"ecret" not in made.files[0]


# --- transparency


@pytest.mark.parametrize("data", [images.png(mode="RGBA"), images.png(mode="LA"), images.webp(mode="RGBA")])
def test_transparency_is_kept_and_is_white_in_jpeg(data: bytes) -> None:
    done = work_on(data, wanted(("thumb", "webp"), ("thumb", "avif"), ("thumb", "jpg")))
    for n in (0, 1):
        assert done.picture(n).mode == "RGBA"
        assert color(done.picture(n), 0.2, 0.2)[3] == 0
        assert color(done.picture(n), 0.8, 0.8)[3] == 255
    assert near(color(done.picture(2), 0.2, 0.2), (255, 255, 255))


def test_one_transparent_color_is_kept() -> None:
    palette = Image.new("P", (64, 64), 0)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.paste(1, (32, 0, 64, 64))
    for data in (images.encode(palette, "PNG", transparency=0), images.encode(palette, "GIF", transparency=0)):
        picture = work_on(data, FULL).picture()
        assert color(picture, 0.2)[3] == 0
        assert near(color(picture, 0.8), (0, 0, 255, 255), 24)


def test_a_transparent_level_of_16_bit_gray_is_kept() -> None:
    deep = Image.fromarray(np.repeat(np.array([[1000, 40_000]], np.uint16), 32, axis=1).repeat(32, axis=0))
    plain = images.encode(deep, "PNG")
    data = plain[:33] + images.png_chunk(b"tRNS", struct.pack(">H", 1000)) + plain[33:]
    picture = work_on(data, FULL).picture()
    assert (color(picture, 0.2)[3], color(picture, 0.8)[3]) == (0, 255)


def test_an_opaque_alpha_channel_is_removed() -> None:
    opaque = images.picture(size=(64, 64))
    opaque.putalpha(255)
    assert work_on(images.encode(opaque, "PNG"), FULL).picture().mode == "RGB"


# --- frames


@pytest.mark.parametrize(
    "data",
    [
        images.encode(corners(None), "GIF", save_all=True, append_images=[Image.new("RGB", (320, 240), "black")]),
        images.encode(corners(None), "WEBP", save_all=True, append_images=[Image.new("RGB", (320, 240), "black")]),
        images.encode(corners(None), "PNG", save_all=True, append_images=[Image.new("RGB", (320, 240), "black")]),
        images.encode(corners(None), "TIFF", save_all=True, append_images=[Image.new("RGB", (9, 9), "black")]),
        images.encode(corners(None), "AVIF", save_all=True, append_images=[Image.new("RGB", (320, 240), "black")]),
        images.encode(corners(None), "MPO", save_all=True, append_images=[Image.new("RGB", (320, 240), "black")]),
    ],
    ids=["gif", "webp", "apng", "tiff", "avif", "mpo"],
)
def test_the_first_of_several_frames_is_used(data: bytes) -> None:
    assert is_upright(work_on(data, FULL).picture())
