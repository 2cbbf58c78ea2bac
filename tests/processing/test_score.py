"""Effects of each kind of damage on the score, and changes that must not affect it."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from imagesvc.processing.quality.jpeg_artifacts import jpeg_artifacts
from imagesvc.processing.quality.luma import luma
from imagesvc.processing.quality.noise import noise_level
from imagesvc.processing.quality.sharpness import edge_variances
from imagesvc.processing.score import HINTS, Score, score, tile_boxes
from tests.processing.scenes import Pixels, blurred, exposed, flattened, jpeg, noisy, resized, scene, shaken

SEEDS = [1, 2, 3]
Damage = Callable[[Pixels, Any], Pixels]

DAMAGES = [
    pytest.param(blurred, (0.8, 1.5, 2.5, 4, 6), "sharpness", "blurred", id="blur"),
    pytest.param(noisy, (4, 8, 16, 30, 50), "noise", "noisy", id="noise"),
    pytest.param(jpeg, (85, 65, 40, 20, 8), "compression", "compressed", id="jpeg"),
    pytest.param(exposed, (0.8, 0.6, 0.4, 0.25, 0.15), "exposure", "too_dark", id="under"),
    pytest.param(exposed, (1.25, 1.6, 2.2, 3.2, 5), "exposure", "too_bright", id="over"),
    pytest.param(flattened, (0.7, 0.45, 0.25, 0.12, 0.05), "contrast", "low_contrast", id="flat"),
]


def assessed(pixels: Pixels) -> Score:
    """As the pipeline does it: proxy, tiles, score."""
    height, width = pixels.shape[:2]
    reduction = min(1.0, 640 / max(width, height))
    proxy = pixels if reduction == 1 else resized(pixels, round(width * reduction), round(height * reduction))
    boxes = tile_boxes(proxy, width=width, height=height)
    tiles = [pixels[box.top : box.bottom, box.left : box.right] for box in boxes]
    return score(proxy, width=width, height=height, tiles=tiles)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_clean_image_scores_well_and_has_no_defect(seed: int) -> None:
    clean = assessed(scene(seed))

    assert clean.value >= 75
    assert (clean.defects, clean.hint) == ((), None)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("damage", "steps", "component", "defect"), DAMAGES)
def test_each_step_of_damage_lowers_the_score_and_its_own_component(
    damage: Damage, steps: tuple[float, ...], component: str, defect: str, seed: int
) -> None:
    clean = scene(seed)

    ladder = [assessed(clean), *(assessed(damage(clean, step)) for step in steps)]

    values = [rung.value for rung in ladder]
    parts = [rung.components[component] for rung in ladder]
    assert values == sorted(set(values), reverse=True)
    assert parts == sorted(set(parts), reverse=True)
    assert ladder[-1].defects[0] == defect
    assert ladder[-1].hint == HINTS[defect]


TURNS = [
    pytest.param(lambda pixels: np.rot90(pixels), id="90"),
    pytest.param(lambda pixels: np.rot90(pixels, 2), id="180"),
    pytest.param(lambda pixels: np.rot90(pixels, 3), id="270"),
    pytest.param(lambda pixels: pixels[:, ::-1], id="mirrored"),
    pytest.param(lambda pixels: pixels.transpose(1, 0, 2), id="transposed"),
]


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("quality", [60, 100])
@pytest.mark.parametrize(("width", "height"), [(637, 475), (1501, 1109)], ids=["small", "with tiles"])
def test_a_turned_image_has_the_same_score(
    turn: Callable[[Pixels], Pixels], quality: int, width: int, height: int
) -> None:
    # neither side is a multiple of 8: once the picture is turned, JPEG's grid starts elsewhere
    upright = jpeg(scene(4, width=width, height=height), quality)

    turned = assessed(np.ascontiguousarray(turn(upright)))

    assert abs(turned.value - assessed(upright).value) <= 2


def test_shaking_along_one_axis_blurs_although_the_edges_along_it_stay_sharp() -> None:
    clean, shaky = assessed(scene(5)), assessed(shaken(scene(5), 9))

    assert shaky.components["sharpness"] < clean.components["sharpness"] - 0.15
    assert shaky.value < clean.value - 10


@pytest.mark.parametrize(("damage", "step", "component"), [(noisy, 12, "noise"), (jpeg, 30, "compression")])
def test_damage_that_the_reduction_hides_is_measured_in_the_native_tiles(
    damage: Damage, step: float, component: str
) -> None:
    large = scene(6, width=2400, height=1800)

    clean, damaged = assessed(large), assessed(damage(large, step))

    assert damaged.components[component] < clean.components[component] - 0.2
    assert damaged.value < clean.value - 5


def test_an_image_at_two_sizes_has_similar_scores() -> None:
    large = scene(6, width=1600, height=1200)

    assert abs(assessed(large).value - assessed(resized(large, 800, 600)).value) <= 6


def test_a_thumbnail_is_low_in_resolution() -> None:
    assert assessed(resized(scene(1), 120, 90)).defects == ("low_resolution",)


def test_blur_in_pixels_is_independent_of_contrast_and_noise() -> None:
    soft = blurred(scene(2), 2)

    plain, _ = edge_variances(luma(soft), noise=0)
    faint, _ = edge_variances(luma(flattened(soft, 0.3)), noise=0)
    grainy = luma(noisy(flattened(soft, 0.5), 4))
    corrected, _ = edge_variances(grainy, noise=noise_level(grainy))
    sharpened, _ = edge_variances(grainy, noise=0)

    assert plain == pytest.approx(np.full(4, 4.5), rel=0.25)
    assert faint == pytest.approx(plain, rel=0.1)
    assert corrected == pytest.approx(plain, rel=0.2)
    assert (corrected > 1.05 * sharpened).all()


def test_a_clear_sky_is_not_called_blurred() -> None:
    glow = np.hypot(*np.mgrid[-240:240, -320:320]) / 400 * 90
    sky = np.rint(glow + 120)[:, :, np.newaxis].repeat(3, axis=2).astype(np.uint8)

    assert "blurred" not in assessed(sky).defects


@pytest.mark.parametrize("deviation", [2, 5, 10, 20])
def test_noise_is_measured_in_gray_levels(deviation: float) -> None:
    # three independent channels average to 0.67 of their deviation in luma
    assert noise_level(luma(noisy(scene(3), deviation))) == pytest.approx(0.67 * deviation, rel=0.25)


def test_texture_does_not_count_as_noise() -> None:
    random = np.random.default_rng(5)
    spectrum = np.fft.rfft2(random.normal(size=(480, 640)))
    frequency = np.hypot(np.fft.fftfreq(480)[:, np.newaxis], np.fft.rfftfreq(640))
    grass = np.fft.irfft2(spectrum / np.maximum(frequency, 0.01))
    pixels = np.clip(128 + 40 * grass / grass.std(), 0, 255).astype(np.uint8)[:, :, np.newaxis].repeat(3, axis=2)
    # as a lens softens it
    meadow = blurred(pixels, 0.7)

    assert noise_level(luma(meadow)) < 1
    assert noise_level(luma(noisy(meadow, 15))) == pytest.approx(10, rel=0.25)


@pytest.mark.parametrize(("quality", "step"), [(80, 0.41), (65, 0.69), (50, 1.0), (30, 1.67), (15, 3.33), (10, 5.0)])
def test_the_quantization_step_is_measured_also_after_a_crop(quality: int, step: float) -> None:
    decoded = jpeg(scene(3), quality)
    cropped = decoded[3:, 5:]

    whole = jpeg_artifacts(luma(decoded), width=640, height=480)
    part = jpeg_artifacts(luma(cropped), width=635, height=477)

    assert whole.step == pytest.approx(step, rel=0.05)
    assert part.step == pytest.approx(step, rel=0.05)


def test_an_uncompressed_image_has_no_step() -> None:
    never = jpeg_artifacts(luma(noisy(scene(3), 3)), width=640, height=480)

    assert never.step == 0
    assert never.jump < 0.05


def test_stripes_as_wide_as_a_block_do_not_count_as_compression() -> None:
    stripes = np.where(np.arange(640) // 8 % 2, 170, 90).astype(np.uint8)
    pixels = np.broadcast_to(stripes[np.newaxis, :, np.newaxis], (480, 640, 3))

    assert assessed(np.ascontiguousarray(pixels)).components["compression"] > 0.95


def test_clipped_highlights_still_count_after_darkening() -> None:
    clipped = exposed(scene(2), 2.5)

    assert assessed(exposed(clipped, 0.8)).components["exposure"] <= assessed(clipped).components["exposure"]


@pytest.mark.parametrize("level", [0, 90, 255])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 1), (640, 2), (400, 300)])
def test_a_blank_image_of_any_size_has_score_0_and_a_defect(level: int, width: int, height: int) -> None:
    blank = assessed(np.full((height, width, 3), level, np.uint8))

    assert blank.value == 0
    assert "low_contrast" in blank.defects
    assert "blurred" not in blank.defects


def test_the_tiles_of_a_very_thin_panorama_lie_inside_it() -> None:
    boxes = tile_boxes(np.full((2, 640, 3), 128, np.uint8), width=50_000, height=160)

    assert len(boxes) == 8
    assert all(0 <= box.left < box.right <= 50_000 and 0 <= box.top < box.bottom <= 160 for box in boxes)


def test_tiles_are_whole_different_and_on_the_grid_of_jpeg() -> None:
    large = scene(6, width=1501, height=1109)
    boxes = tile_boxes(resized(large, 640, 473), width=1501, height=1109)

    assert len(set(boxes)) == 8
    assert {(box.left % 8, box.top % 8) for box in boxes} == {(0, 0)}
    assert {(box.right - box.left, box.bottom - box.top) for box in boxes} == {(128, 128)}
    assert all(box.right <= 1501 and box.bottom <= 1109 for box in boxes)


def test_an_image_that_is_its_own_proxy_needs_no_tiles() -> None:
    assert tile_boxes(scene(1), width=640, height=480) == ()


def test_the_json_is_the_score_member_of_an_image() -> None:
    member = assessed(blurred(scene(1), 5)).as_json()

    assert json.loads(json.dumps(member)) == member
    assert list(member) == ["value", "version", "components", "defects", "hint"]
    assert list(member["components"]) == ["sharpness", "noise", "compression", "exposure", "contrast", "resolution"]
    assert all(0 <= part <= 1 for part in member["components"].values())
    assert member["defects"] == ["blurred"]
    assert member["version"] == "1"
