"""Every depth and color space is converted to 8-bit sRGB."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from imagesvc.processing.headers.header import KNOWN_PRIMARIES, KNOWN_TRANSFERS
from tests.processing.pictures import FULL, color, near
from tests.processing.run_pipeline import work_on
from tests.support import images
from tests.support.icc_profiles import ADOBE_RGB, DISPLAY_P3, gray_profile, rgb_profile


def test_wide_gamut_is_converted_to_srgb() -> None:
    profile = rgb_profile(DISPLAY_P3)
    for format in ("JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"):
        data = images.encode(Image.new("RGB", (64, 64), (200, 100, 60)), format, icc_profile=profile, quality=95)
        done = work_on(data, FULL)
        assert done.facts.has_icc_profile
        assert near(color(done.picture()), (214, 96, 48), 8), format


def test_an_srgb_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = images.png(size=(64, 64))
    tagged = images.encode(images.picture(size=(64, 64)), "PNG", icc_profile=profile, compress_level=1)
    assert work_on(tagged, FULL).files == work_on(data, FULL).files


@pytest.mark.parametrize("profile", [b"junk", b"\0" * 128, rgb_profile(ADOBE_RGB)[:200]])
def test_an_unreadable_profile_is_ignored(profile: bytes) -> None:
    data = images.encode(Image.new("RGB", (64, 64), (200, 100, 60)), "JPEG", icc_profile=profile, quality=95)
    assert near(color(work_on(data, FULL).picture()), (200, 100, 60))


def test_a_profile_of_another_color_space_is_ignored() -> None:
    data = images.encode(Image.new("L", (64, 64), 100), "JPEG", icc_profile=rgb_profile(ADOBE_RGB), quality=95)
    assert near(color(work_on(data, FULL).picture().convert("RGB")), (100, 100, 100))


def test_gray_with_a_profile_keeps_its_lightness() -> None:
    data = images.encode(Image.new("L", (64, 64), 100), "PNG", icc_profile=gray_profile(gamma=1.0))
    assert color(work_on(data, FULL).picture().convert("RGB"))[0] > 160


def test_code_points_of_a_png_are_applied_like_a_profile() -> None:
    plain = images.encode(Image.new("RGB", (64, 64), (200, 100, 60)), "PNG")
    display_p3 = plain[:33] + images.png_chunk(b"cICP", bytes((12, 13, 0, 1))) + plain[33:]
    assert near(color(work_on(display_p3, FULL).picture()), (214, 96, 48), 8)


def srgb_level(light: float) -> int:
    """IEC 61966-2-1: the 8-bit level of linear light from 0 to 1."""
    level = 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
    return round(255 * level)


def png_with_code_points(image: Image.Image, primaries: int, transfer: int, *rest: int) -> bytes:
    plain = images.encode(image, "PNG")
    chunk = images.png_chunk(b"cICP", bytes((primaries, transfer, *(rest or (0, 1)))))
    return plain[:33] + chunk + plain[33:]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize(("transfer", "exponent"), [(8, 1.0), (4, 2.2), (5, 2.8)])
@pytest.mark.parametrize("level", [20, 100, 200])
def test_linear_light_and_gamma_of_a_png_are_converted(level: int, transfer: int, exponent: float, mode: str) -> None:
    image = Image.new("L", (64, 64), level).convert(mode)
    shown = work_on(png_with_code_points(image, 1, transfer), FULL).picture().convert("RGB")
    expected = srgb_level((level / 255) ** exponent)
    assert near(color(shown), (expected,) * 3, 4)


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_white_is_bright_and_black_is_black(transfer: int) -> None:
    """Diffuse white is level 148 of PQ and 191 of HLG (ITU-R BT.2408)."""
    white = {16: 148, 18: 191}[transfer]
    for level, low, high in ((0, 0, 2), (white, 225, 255), (255, 250, 255), (white // 2, 30, 190)):
        data = png_with_code_points(Image.new("RGB", (64, 64), (level,) * 3), 9, transfer)
        assert low <= color(work_on(data, FULL).picture())[0] <= high


@pytest.mark.parametrize(
    "code_points",
    [
        (1, 9),
        (1, 10),
        (1, 17),
        (1, 0),
        (1, 200),
        (3, 13),
        (10, 13),
        (200, 8),
        (9, 16, 9, 1),
        (9, 16, 0, 0),
        (1, 8, 0, 7),
    ],
)
def test_unknown_code_points_are_ignored_and_noted(code_points: tuple[int, ...]) -> None:
    done = work_on(png_with_code_points(COLOR, *code_points), FULL)
    assert near(color(done.picture()), (200, 100, 60))
    assert done.facts.notes == ("color-code-points-ignored",)


@pytest.mark.parametrize("primaries", sorted(KNOWN_PRIMARIES))
@pytest.mark.parametrize("transfer", sorted(KNOWN_TRANSFERS - {16, 18}))
def test_white_stays_white_in_every_known_color_space(primaries: int, transfer: int) -> None:
    done = work_on(png_with_code_points(Image.new("RGB", (16, 16), "white"), primaries, transfer), FULL)
    assert near(color(done.picture()), (255, 255, 255), 2)
    assert done.facts.notes == ()


def test_code_points_of_a_png_take_precedence_over_its_profile() -> None:
    tagged = images.encode(COLOR, "PNG", icc_profile=rgb_profile(ADOBE_RGB))
    data = tagged[:33] + images.png_chunk(b"cICP", bytes((1, 13, 0, 1))) + tagged[33:]
    assert near(color(work_on(data, FULL).picture()), (200, 100, 60))


def test_a_linear_png_is_not_shown_too_dark(cases: Path) -> None:
    data = (cases / "png_cicp_linear.png").read_bytes()
    at = data.index(b"cICP")
    plain = data[: at - 4] + data[at + 12 :]
    light = np.asarray(work_on(plain, FULL).picture().convert("RGB"), float).mean()
    assert np.asarray(work_on(data, FULL).picture().convert("RGB"), float).mean() > light * 1.15


def png_stating(image: Image.Image, *, gamma: int | None = None, points: tuple[int, ...] | None = None) -> bytes:
    """As the chunks have it: in hundred thousandths."""
    plain, stated = images.encode(image, "PNG"), b""
    if gamma is not None:
        stated += images.png_chunk(b"gAMA", gamma.to_bytes(4, "big"))
    if points is not None:
        stated += images.png_chunk(b"cHRM", b"".join(point.to_bytes(4, "big") for point in points))
    return plain[:33] + stated + plain[33:]


COLOR, GRAY = Image.new("RGB", (64, 64), (200, 100, 60)), Image.new("L", (64, 64), 100)
SRGB_POINTS = (31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000)
P3_POINTS = (31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6_000)


def test_gamma_and_primaries_of_a_png_are_applied_like_a_profile() -> None:
    wide = color(work_on(png_stating(COLOR, gamma=45_455, points=P3_POINTS), FULL).picture())
    dark = color(work_on(png_stating(COLOR, gamma=100_000), FULL).picture())
    gray = color(work_on(png_stating(GRAY, gamma=100_000), FULL).picture().convert("RGB"))

    assert near(wide, (214, 96, 48), 8)
    assert near(dark, (229, 168, 133), 8)
    assert near(gray, (168, 168, 168), 8)


@pytest.mark.parametrize(
    ("gamma", "points"),
    [
        (45_455, None),
        (45_000, SRGB_POINTS),
        (None, P3_POINTS),
        (0, None),
        (2**32 - 1, None),
        (100_000, (31_270, 32_900) * 4),
        (100_000, (0,) * 8),
        (100_000, (2**32 - 1,) * 8),
        (100_000, (31_270, 32_900, 0, 1, 0, 2, 0, 3)),
    ],
)
def test_gamma_and_primaries_that_are_srgb_or_invalid_are_ignored(
    gamma: int | None, points: tuple[int, ...] | None
) -> None:
    assert near(color(work_on(png_stating(COLOR, gamma=gamma, points=points), FULL).picture()), (200, 100, 60))


def test_srgb_and_code_points_take_precedence_over_gamma() -> None:
    stated = png_stating(COLOR, gamma=100_000)
    is_srgb = stated[:33] + images.png_chunk(b"sRGB", b"\0") + stated[33:]
    code_points = stated[:33] + images.png_chunk(b"cICP", bytes((12, 13, 0, 1))) + stated[33:]

    assert near(color(work_on(is_srgb, FULL).picture()), (200, 100, 60))
    assert near(color(work_on(code_points, FULL).picture()), (214, 96, 48), 8)


def test_light_beyond_white_is_rolled_off_instead_of_clipped() -> None:
    plain = images.encode(images.picture(size=(64, 64)), "PNG")
    for transfer in (16, 18):
        data = plain[:33] + images.png_chunk(b"cICP", bytes((9, transfer, 0, 1))) + plain[33:]
        pixels = np.asarray(work_on(data, FULL).picture())
        assert len(np.unique(pixels)) > 50


DEEP = np.linspace(0, 65_535, 64 * 64).reshape(64, 64)
MODES: dict[str, tuple[Image.Image, str]] = {
    "1 bit": (Image.fromarray(DEEP > 32_768), "PNG"),
    "8 bit gray": (Image.fromarray((DEEP / 257).astype(np.uint8)), "PNG"),
    "16 bit gray": (Image.fromarray(DEEP.astype(np.uint16)), "PNG"),
    "16 bit gray TIFF": (Image.fromarray(DEEP.astype(np.uint16)), "TIFF"),
    "32 bit gray TIFF": (Image.fromarray((DEEP * 30_000).astype(np.int32)), "TIFF"),
    "float from 0 to 1": (Image.fromarray((DEEP / 65_535).astype(np.float32)), "TIFF"),
    "float from 0 to 255": (Image.fromarray((DEEP / 257).astype(np.float32)), "TIFF"),
    "palette": (Image.fromarray((DEEP / 257).astype(np.uint8)).convert("P"), "PNG"),
    "CMYK": (Image.fromarray((DEEP / 257).astype(np.uint8)).convert("CMYK"), "JPEG"),
    "CMYK TIFF": (Image.fromarray((DEEP / 257).astype(np.uint8)).convert("CMYK"), "TIFF"),
    "YCbCr": (Image.fromarray((DEEP / 257).astype(np.uint8)).convert("RGB"), "JPEG"),
}


@pytest.mark.parametrize(("image", "format"), MODES.values(), ids=MODES)
def test_every_depth_covers_black_to_white(image: Image.Image, format: str) -> None:
    pixels = np.asarray(work_on(images.encode(image, format), FULL).picture().convert("L"))
    assert pixels[0, 0] < 12
    assert pixels[-1, -1] > 243
    assert abs(int(pixels[32, 0]) - 128) < 14 or image.mode == "1"


def test_lab_is_converted() -> None:
    lab = ImageCms.profileToProfile(
        Image.new("RGB", (64, 64), (200, 100, 60)),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    assert lab is not None
    assert near(color(work_on(images.encode(lab, "TIFF"), FULL).picture()), (200, 100, 60), 8)
