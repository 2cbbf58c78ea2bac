"""Score and hash are measured on the displayed image, independently of how it is stored."""

import numpy as np
import pytest
from PIL import Image

from imagesvc.processing.assessment import stored_box
from imagesvc.processing.contract import Work
from imagesvc.processing.facts import Facts
from imagesvc.processing.perceptual_hash import distance
from imagesvc.processing.renditions import upright
from imagesvc.processing.score import Box
from tests.processing.pictures import STORED_AS
from tests.processing.run_pipeline import facts_of, work_on
from tests.processing.scenes import scene
from tests.support import images

JUDGED = Work(renditions=())


def value_of(facts: Facts) -> int:
    assert facts.score is not None
    value = facts.score["value"]
    assert isinstance(value, int)
    return value


def bits_of(facts: Facts) -> int:
    assert facts.perceptual_hash is not None
    return int(facts.perceptual_hash, 16)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_of_the_upright_image_is_mapped_to_the_stored_one(orientation: int) -> None:
    shown = images.picture(size=(96, 64))
    stored = shown.transpose(turn) if (turn := STORED_AS[orientation]) is not None else shown
    box = Box(8, 16, 40, 56)
    cut = upright(stored.crop(stored_box(box, stored.size, orientation)), orientation)
    assert np.array_equal(np.asarray(cut), np.asarray(shown.crop(box)))


@pytest.mark.parametrize("orientation", [3, 6, 7])
def test_a_turned_file_scores_and_hashes_like_the_upright_one(orientation: int) -> None:
    shown = images.picture(size=(1200, 900))
    turn = STORED_AS[orientation]
    assert turn is not None
    plain = work_on(images.encode(shown, "PNG", compress_level=1), JUDGED).facts
    turned = images.encode(shown.transpose(turn), "PNG", compress_level=1, exif=images.exif(orientation=orientation))
    found = work_on(turned, JUDGED).facts
    assert abs(value_of(found) - value_of(plain)) <= 2
    assert distance(bits_of(found), bits_of(plain)) <= 2


def test_a_smaller_copy_has_a_similar_hash_and_another_image_does_not() -> None:
    one, other = (work_on(images.jpeg(seed=seed, size=(800, 600)), JUDGED).facts for seed in (1, 2))
    small = work_on(images.encode(images.picture(seed=1, size=(800, 600)).resize((400, 300)), "JPEG"), JUDGED).facts
    assert distance(bits_of(one), bits_of(small)) <= 6
    assert distance(bits_of(one), bits_of(other)) > 12


def test_transparent_pixels_are_scored_on_white() -> None:
    facts = work_on(images.png(mode="RGBA"), JUDGED).facts
    assert facts.perceptual_hash is not None
    assert value_of(facts) >= 0


def test_without_the_score_no_pixel_is_decoded() -> None:
    truncated = facts_of(images.truncated_jpeg())
    assert (truncated.score, truncated.perceptual_hash, truncated.stored_width) == (None, None, 640)


def test_a_damaged_photo_scores_less_than_the_clean_one() -> None:
    clean = Image.fromarray(scene(4, width=1000, height=750))
    assert value_of(work_on(images.encode(clean, "PNG"), JUDGED).facts) > 20 + value_of(
        work_on(images.encode(clean, "JPEG", quality=5), JUDGED).facts
    )
