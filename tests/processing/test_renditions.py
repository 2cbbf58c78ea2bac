"""Renditions: upright, sRGB, the right size, without metadata, as good as Pillow's own."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from imagesvc.processing import renditions
from imagesvc.processing.decode import Picture
from imagesvc.processing.limits import Limits
from imagesvc.processing.work import EAGER_RENDITIONS, Format, Preset, Resize, Work
from tests.processing.work_on import refusal_of, work_on
from tests.support import images
from tests.support.exif_blocks import block, jpeg_with, packet, short
from tests.support.profiles import ADOBE_RGB, DISPLAY_P3, grey_profile, rgb_profile

FULL = Work(score=False, renditions=(("full", "webp"),))


def wanted(*renditions: tuple[Preset, Format]) -> Work:
    return Work(score=False, renditions=renditions)


def psnr(one: Image.Image, other: Image.Image) -> float:
    assert (one.size, one.mode) == (other.size, other.mode)
    difference = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    return float(10 * np.log10(255**2 / max(float(np.mean(difference**2)), 1e-9)))


def colour(image: Image.Image, x: float = 0.5, y: float = 0.5) -> tuple[int, ...]:
    pixel = image.getpixel((int(image.width * x), int(image.height * y)))
    assert isinstance(pixel, tuple)
    return pixel


def near(found: tuple[int, ...], expected: tuple[int, ...], tolerance: int = 6) -> bool:
    return len(found) == len(expected) and all(abs(a - b) <= tolerance for a, b in zip(found, expected, strict=True))


# --- sizes


def test_the_eager_ones_come_from_one_decoding_in_their_sizes() -> None:
    done = work_on(images.jpeg(size=(2400, 1800)), Work(score=False))
    assert [(made.width, made.height) for made in done.reply.made] == [(320, 240), (1024, 768), (2048, 1536)]
    assert [done.picture(n).size for n in range(3)] == [(320, 240), (1024, 768), (2048, 1536)]


def test_a_picture_is_never_enlarged() -> None:
    done = work_on(images.jpeg(size=(400, 300)), Work(score=False))
    assert [done.picture(n).size for n in range(3)] == [(320, 240), (400, 300), (400, 300)]


def test_a_very_thin_picture_keeps_a_pixel_of_width() -> None:
    assert work_on(images.png(size=(3000, 2)), wanted(("thumb", "webp"))).picture().size == (320, 1)


def test_renditions_come_in_the_order_asked_for_and_in_every_format() -> None:
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
    picture = Picture(image=original, orientation=1, profile=None, primaries=None, transfer=None)
    large = renditions.ready(picture, renditions.within(size, 2048))
    medium = renditions.resized(large, renditions.within(size, 1024))
    thumb = renditions.resized(medium, renditions.within(size, 320))
    for made in (large, medium, thumb):
        expected = original.resize(made.size, Image.Resampling.LANCZOS)
        assert psnr(_visible(made), _visible(expected)) > 40


def _visible(image: Image.Image) -> Image.Image:
    """What a viewer sees: colours under full transparency are nobody's."""
    if image.mode != "RGBA":
        return image
    ground = Image.new("RGBA", image.size, "grey")
    return Image.alpha_composite(ground, image)


def test_a_jpeg_decoded_at_a_fraction_of_its_size_is_still_as_good() -> None:
    data = images.jpeg(size=(3000, 2000), quality=90)
    thumb = work_on(data, wanted(("thumb", "jpg"))).picture()
    from_all = work_on(data, wanted(("thumb", "jpg"), ("full", "jpg"))).picture()
    assert psnr(thumb, from_all) > 38


# --- orientation

RED, GREEN, BLUE, WHITE = (230, 20, 20), (20, 200, 20), (20, 20, 230), (250, 250, 250)


def corners(turn: Image.Transpose | None, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Upright: red and green above blue and white; stored turned."""
    image = Image.new("RGB", size)
    width, height = size[0] // 2, size[1] // 2
    for box, fill in (((0, 0), RED), ((width, 0), GREEN), ((0, height), BLUE), ((width, height), WHITE)):
        image.paste(fill, (*box, box[0] + width, box[1] + height))
    return image.transpose(turn) if turn is not None else image


STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def is_upright(image: Image.Image) -> bool:
    image = image.convert("RGB")
    found = [colour(image, x, y) for y in (0.25, 0.75) for x in (0.25, 0.75)]
    return all(near(one, other, 24) for one, other in zip(found, (RED, GREEN, BLUE, WHITE), strict=True))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_every_orientation_comes_out_upright(format: str, orientation: int) -> None:
    exif = images.exif(orientation=orientation)
    data = images.encode(corners(STORED_AS[orientation]), format, exif=exif.tobytes() if format == "HEIF" else exif)
    done = work_on(data, wanted(("full", "webp"), ("thumb", "jpg")))
    assert done.picture(0).size == (320, 240)
    assert is_upright(done.picture(0))
    assert is_upright(done.picture(1))
    assert (done.facts.width, done.facts.height, done.facts.orientation or 1) == (320, 240, orientation)


def test_a_heif_file_that_only_says_so_in_exif_is_not_turned() -> None:
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
def test_nothing_of_the_metadata_comes_through(format: Format) -> None:
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
def test_what_is_transparent_stays_so_and_is_white_in_jpeg(data: bytes) -> None:
    done = work_on(data, wanted(("thumb", "webp"), ("thumb", "avif"), ("thumb", "jpg")))
    for n in (0, 1):
        assert done.picture(n).mode == "RGBA"
        assert colour(done.picture(n), 0.2, 0.2)[3] == 0
        assert colour(done.picture(n), 0.8, 0.8)[3] == 255
    assert near(colour(done.picture(2), 0.2, 0.2), (255, 255, 255))


def test_one_transparent_colour_is_enough() -> None:
    palette = Image.new("P", (64, 64), 0)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.paste(1, (32, 0, 64, 64))
    for data in (images.encode(palette, "PNG", transparency=0), images.encode(palette, "GIF", transparency=0)):
        picture = work_on(data, FULL).picture()
        assert colour(picture, 0.2)[3] == 0
        assert near(colour(picture, 0.8), (0, 0, 255, 255), 24)


def test_a_transparent_level_of_16_bit_grey_is_kept() -> None:
    deep = Image.fromarray(np.repeat(np.array([[1000, 40_000]], np.uint16), 32, axis=1).repeat(32, axis=0))
    plain = images.encode(deep, "PNG")
    data = plain[:33] + images.png_chunk(b"tRNS", struct.pack(">H", 1000)) + plain[33:]
    picture = work_on(data, FULL).picture()
    assert (colour(picture, 0.2)[3], colour(picture, 0.8)[3]) == (0, 255)


def test_an_alpha_channel_that_hides_nothing_is_left_out() -> None:
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
def test_of_several_frames_the_first_is_taken(data: bytes) -> None:
    assert is_upright(work_on(data, FULL).picture())


# --- colours


def test_wide_gamut_comes_out_in_srgb() -> None:
    profile = rgb_profile(DISPLAY_P3)
    for format in ("JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"):
        data = images.encode(Image.new("RGB", (64, 64), (200, 100, 60)), format, icc_profile=profile, quality=95)
        done = work_on(data, FULL)
        assert done.facts.has_icc_profile
        assert near(colour(done.picture()), (214, 96, 48), 8), format


def test_an_srgb_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = images.png(size=(64, 64))
    tagged = images.encode(images.picture(size=(64, 64)), "PNG", icc_profile=profile, compress_level=1)
    assert work_on(tagged, FULL).files == work_on(data, FULL).files


@pytest.mark.parametrize("profile", [b"junk", b"\0" * 128, rgb_profile(ADOBE_RGB)[:200]])
def test_a_profile_that_cannot_be_read_is_passed_over(profile: bytes) -> None:
    data = images.encode(Image.new("RGB", (64, 64), (200, 100, 60)), "JPEG", icc_profile=profile, quality=95)
    assert near(colour(work_on(data, FULL).picture()), (200, 100, 60))


def test_a_profile_of_another_colour_space_is_passed_over() -> None:
    data = images.encode(Image.new("L", (64, 64), 100), "JPEG", icc_profile=rgb_profile(ADOBE_RGB), quality=95)
    assert near(colour(work_on(data, FULL).picture().convert("RGB")), (100, 100, 100))


def test_grey_with_a_profile_is_brought_to_the_same_lightness() -> None:
    data = images.encode(Image.new("L", (64, 64), 100), "PNG", icc_profile=grey_profile(gamma=1.0))
    assert colour(work_on(data, FULL).picture().convert("RGB"))[0] > 160


def test_code_points_of_a_png_are_followed_like_a_profile() -> None:
    plain = images.encode(Image.new("RGB", (64, 64), (200, 100, 60)), "PNG")
    display_p3 = plain[:33] + images.png_chunk(b"cICP", bytes((12, 13, 0, 1))) + plain[33:]
    assert near(colour(work_on(display_p3, FULL).picture()), (214, 96, 48), 8)


def test_light_beyond_white_is_rolled_off_and_not_cut() -> None:
    plain = images.encode(images.picture(size=(64, 64)), "PNG")
    for transfer in (16, 18):
        data = plain[:33] + images.png_chunk(b"cICP", bytes((9, transfer, 0, 1))) + plain[33:]
        pixels = np.asarray(work_on(data, FULL).picture())
        assert len(np.unique(pixels)) > 50


DEEP = np.linspace(0, 65_535, 64 * 64).reshape(64, 64)
MODES: dict[str, tuple[Image.Image, str]] = {
    "1 bit": (Image.fromarray(DEEP > 32_768), "PNG"),
    "8 bit grey": (Image.fromarray((DEEP / 257).astype(np.uint8)), "PNG"),
    "16 bit grey": (Image.fromarray(DEEP.astype(np.uint16)), "PNG"),
    "16 bit grey TIFF": (Image.fromarray(DEEP.astype(np.uint16)), "TIFF"),
    "32 bit grey TIFF": (Image.fromarray((DEEP * 30_000).astype(np.int32)), "TIFF"),
    "float from 0 to 1": (Image.fromarray((DEEP / 65_535).astype(np.float32)), "TIFF"),
    "float from 0 to 255": (Image.fromarray((DEEP / 257).astype(np.float32)), "TIFF"),
    "palette": (Image.fromarray((DEEP / 257).astype(np.uint8)).convert("P"), "PNG"),
    "CMYK": (Image.fromarray((DEEP / 257).astype(np.uint8)).convert("CMYK"), "JPEG"),
    "CMYK TIFF": (Image.fromarray((DEEP / 257).astype(np.uint8)).convert("CMYK"), "TIFF"),
    "YCbCr": (Image.fromarray((DEEP / 257).astype(np.uint8)).convert("RGB"), "JPEG"),
}


@pytest.mark.parametrize(("image", "format"), MODES.values(), ids=MODES)
def test_every_depth_goes_from_black_to_white(image: Image.Image, format: str) -> None:
    pixels = np.asarray(work_on(images.encode(image, format), FULL).picture().convert("L"))
    assert pixels[0, 0] < 12
    assert pixels[-1, -1] > 243
    assert abs(int(pixels[32, 0]) - 128) < 14 or image.mode == "1"


def test_lab_is_understood() -> None:
    lab = ImageCms.profileToProfile(
        Image.new("RGB", (64, 64), (200, 100, 60)),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    assert lab is not None
    assert near(colour(work_on(images.encode(lab, "TIFF"), FULL).picture()), (200, 100, 60), 8)


# --- broken and odd files


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_jpeg_is_broken(keep: float, progressive: bool) -> None:
    whole = images.jpeg(progressive=progressive)
    assert refusal_of(whole[: int(len(whole) * keep)], Work(score=False)).slug == "broken-image"


@pytest.mark.parametrize(
    "maker", [images.png, images.webp, images.gif, images.tiff, images.bmp, images.heic, images.avif]
)
def test_half_a_file_of_any_format_is_broken(maker: Any) -> None:
    data = maker(size=(200, 160))
    assert refusal_of(data[: len(data) // 2], Work(score=False)).slug == "broken-image"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_only_lacks_its_last_marker_is_whole(progressive: bool) -> None:
    whole = images.jpeg(progressive=progressive)
    assert work_on(whole[:-2], FULL).files == work_on(whole, FULL).files


@pytest.mark.parametrize("tail", [b"\0" * 1000, b"garbage " * 100, images.jpeg(size=(32, 32)), b"\xff\xd8\xff\xe1\0\0"])
def test_what_follows_the_picture_does_no_harm(tail: bytes) -> None:
    whole = images.jpeg()
    assert work_on(whole + tail, FULL).files == work_on(whole, FULL).files


def test_junk_between_the_segments_of_a_jpeg_does_no_harm() -> None:
    whole = images.jpeg()
    assert work_on(whole[:20] + b"\0\0\0" + whole[20:], FULL).files == work_on(whole, FULL).files


def test_a_damaged_index_of_a_multi_picture_file_does_no_harm() -> None:
    whole = images.encode(corners(None), "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    damaged = whole.replace(b"\x01\xb0\x04\x00\x01\x00\x00\x00\x02", b"\x01\xb0\x04\x00\x01\x00\x00\x00\xff")
    assert damaged != whole
    assert is_upright(work_on(damaged, FULL).picture())


def test_content_that_no_decoder_knows_is_unsupported_but_its_facts_are_known() -> None:
    twelve_bit = images.jpeg(size=(64, 48)).replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc1\x00\x11\x0c")
    reply = refusal_of(twelve_bit)
    assert reply.slug == "unsupported-content"
    assert reply.facts is not None
    assert (reply.facts.media_type, reply.facts.stored_width) == ("image/jpeg", 64)


# --- resizes on request


@pytest.mark.parametrize(
    ("request_", "size"),
    [
        (Resize(), (100, 75)),
        (Resize(width=50, height=200), (50, 38)),
        (Resize(fit="cover"), (100, 100)),
        (Resize(width=300, height=100, fit="cover"), (300, 100)),
        (Resize(width=300, height=100, fit="fill"), (300, 100)),
        (Resize(width=5000, height=5000), (320, 240)),
        (Resize(width=500, height=500, fit="cover"), (500, 500)),
    ],
)
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_resize_has_the_size_that_its_fit_gives(request_: Resize, size: tuple[int, int], orientation: int) -> None:
    exif = images.exif(orientation=orientation)
    data = images.encode(corners(STORED_AS[orientation]), "JPEG", exif=exif)
    picture = work_on(data, request_).picture()
    assert picture.size == size
    assert picture.format == "JPEG"


def test_cover_cuts_off_what_stands_over_and_fill_stretches() -> None:
    wide = Image.new("RGB", (400, 100), BLUE)
    wide.paste(RED, (150, 0, 250, 100))
    data = images.encode(wide, "PNG")
    assert near(colour(work_on(data, Resize(fit="cover", format="png")).picture(), 0.05), RED, 12)
    assert near(colour(work_on(data, Resize(fit="fill", format="png")).picture(), 0.05), BLUE, 12)


@pytest.mark.parametrize(("format", "expected"), [("webp", "WEBP"), ("jpg", "JPEG"), ("avif", "AVIF"), ("png", "PNG")])
def test_a_resize_comes_in_the_asked_format(format: Any, expected: str) -> None:
    assert work_on(images.jpeg(), Resize(format=format)).picture().format == expected


def test_the_quality_of_a_resize_is_heeded() -> None:
    sizes = [len(work_on(images.jpeg(), Resize(width=300, height=300, quality=q)).files[0]) for q in (10, 50, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 3


def test_a_resize_of_too_large_a_picture_is_refused_like_any_other_work() -> None:
    assert refusal_of(images.bomb_png(), Resize()).slug == "too-many-pixels"
    assert refusal_of(images.png(), Resize(), Limits(max_side=100)).slug == "too-many-pixels"


def test_the_eager_renditions_are_the_three_webp_ones() -> None:
    assert EAGER_RENDITIONS == (("thumb", "webp"), ("medium", "webp"), ("large", "webp"))
