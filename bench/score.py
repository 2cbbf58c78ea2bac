"""How well the score follows damage, as Markdown tables: ``python -m bench.score [FOLDER] [--long-side 640]``.

Clean photos are blurred, made noisy, compressed, under- and over-exposed in five steps each. For each kind of damage:
Spearman's rank correlation of the score with the step, as a mean over photos; the same for the component that
measures this damage; the share of damaged images that score below their clean original; the correlation over all photos
together, which is higher if scores of different photos are comparable; and, as the baseline, the first of these for the
variance of the Laplacian.
"""

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from bench.photos import Pixels, packaged_photos, packaged_textures, photos_of, pixels
from imagesvc.processing.quality.luma import luma
from imagesvc.processing.score import PROXY_LONG_SIDE, Score, score, tile_boxes

Damage = Callable[[Pixels, float, np.random.Generator], Pixels]
Turn = Callable[[Pixels], Pixels]
TURNS: tuple[Turn, ...] = (
    lambda photo: np.rot90(photo, 1),
    lambda photo: np.rot90(photo, 2),
    lambda photo: np.rot90(photo, 3),
    lambda photo: photo[:, ::-1],
)
RUNS = 20


def _to_pixels(values: NDArray[np.floating]) -> Pixels:
    rounded: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded


def blur(photo: Pixels, radius: float, _: np.random.Generator) -> Pixels:
    return np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(radius)))


def noise(photo: Pixels, deviation: float, random: np.random.Generator) -> Pixels:
    return _to_pixels(photo + random.normal(0, deviation, photo.shape))


def jpeg(photo: Pixels, quality: float, _: np.random.Generator) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=int(quality))
    return np.asarray(Image.open(file).convert("RGB"))


def exposure(photo: Pixels, gain: float, _: np.random.Generator) -> Pixels:
    return _to_pixels(photo * float(gain))


KINDS: dict[str, tuple[Damage, str, tuple[float, ...]]] = {
    "blur": (blur, "sharpness", (0.7, 1.2, 2, 3.5, 5)),
    "noise": (noise, "noise", (4, 8, 16, 30, 50)),
    "JPEG": (jpeg, "compression", (80, 50, 30, 15, 7)),
    "under-exposure": (exposure, "exposure", (0.8, 0.6, 0.45, 0.3, 0.2)),
    "over-exposure": (exposure, "exposure", (1.2, 1.5, 1.9, 2.5, 3.5)),
}


def assessed(photo: Pixels) -> Score:
    height, width = photo.shape[:2]
    proxy = pixels(Image.fromarray(photo), long_side=PROXY_LONG_SIDE)
    boxes = tile_boxes(proxy, width=width, height=height)
    return score(proxy, width=width, height=height, tiles=[photo[y:b, x:r] for x, y, r, b in boxes])


def laplacian_variance(photo: Pixels) -> float:
    plane = luma(photo)[0]
    inner = plane[1:-1, 1:-1]
    return float((plane[:-2, 1:-1] + plane[2:, 1:-1] + plane[1:-1, :-2] + plane[1:-1, 2:] - 4 * inner).var())


def rank_correlation(values: list[float], steps: list[int]) -> float:
    """Spearman's, positive when values fall as steps rise; ties share their mean rank."""
    if len(set(values)) == 1:
        return 0.0
    ranked = np.empty((2, len(values)))
    for row, series in enumerate((np.array(values), -np.array(steps, dtype=float))):
        _, place, count = np.unique(series, return_inverse=True, return_counts=True)
        ranked[row] = (np.cumsum(count) - (count - 1) / 2)[place]
    return float(np.asarray(np.corrcoef(ranked))[0, 1])


def ladder(photo: Pixels, kind: str, seed: int) -> list[Pixels]:
    damage, _, steps = KINDS[kind]
    random = np.random.default_rng(seed)
    return [photo, *(damage(photo, step, random) for step in steps)]


def table(photos: dict[str, Pixels]) -> None:
    print(f"\n| kind | score | its component | below clean | all photos | Laplacian |\n|{'---|' * 6}")
    columns = []
    for kind, (_, component, steps) in KINDS.items():
        places = list(range(len(steps) + 1))
        scores, components, laplacians, below = [], [], [], []
        pooled: list[float] = []
        for seed, photo in enumerate(photos.values()):
            rungs = ladder(photo, kind, seed)
            found = [assessed(rung) for rung in rungs]
            values = [float(rung.value) for rung in found]
            pooled += values
            scores.append(rank_correlation(values, places))
            components.append(rank_correlation([round(rung.components[component], 3) for rung in found], places))
            laplacians.append(rank_correlation([laplacian_variance(rung) for rung in rungs], places))
            below += [value < values[0] for value in values[1:]]
        together = rank_correlation(pooled, places * len(photos))
        row = [float(np.mean(part)) for part in (scores, components, below)] + [together, float(np.mean(laplacians))]
        columns.append(row)
        print(f"| {kind} | {row[0]:.3f} | {row[1]:.3f} | {row[2]:.1%} | {row[3]:.3f} | {row[4]:.3f} |")
    mean = np.mean(columns, axis=0)
    print(f"| **mean** | {mean[0]:.3f} | {mean[1]:.3f} | {mean[2]:.1%} | {mean[3]:.3f} | {mean[4]:.3f} |")


def clean(photos: dict[str, Pixels]) -> None:
    found = {name: assessed(photo) for name, photo in photos.items()}
    turned = [
        abs(assessed(np.ascontiguousarray(turn(photo))).value - found[name].value)
        for name, photo in photos.items()
        for turn in TURNS
    ]
    values = [one.value for one in found.values()]
    lowest = min(found, key=lambda name: found[name].value)
    defects = {name: one.defects for name, one in found.items() if one.defects}
    print(
        f"\nClean: lowest {min(values)} ({lowest}), mean {np.mean(values):.0f}, "
        f"deviation {np.std(values):.1f}; defects {defects or 'none'}; turned or mirrored: at most {max(turned)} apart."
    )


def cost() -> None:
    random = np.random.default_rng(0)
    large = blur(random.integers(0, 256, (1500, 2000, 3)).astype(np.uint8), 2, random)
    proxy = pixels(Image.fromarray(large), long_side=PROXY_LONG_SIDE)
    boxes = tile_boxes(proxy, width=2000, height=1500)
    tiles = [large[y:b, x:r] for x, y, r, b in boxes]
    parts: dict[str, Callable[[], object]] = {
        "a picture within 640 px": lambda: score(proxy, width=640, height=480),
        "a larger one: choosing the tiles": lambda: tile_boxes(proxy, width=2000, height=1500),
        "a larger one: proxy and tiles": lambda: score(proxy, width=2000, height=1500, tiles=tiles),
    }
    print("\n| CPU | ms |\n|---|---|")
    for name, part in parts.items():
        times = []
        for _ in range(RUNS):
            started = time.process_time()
            part()
            times.append(time.process_time() - started)
        print(f"| {name} | {min(times) * 1000:.1f} |")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", nargs="?", type=Path, help="photos to use instead of scikit-image's")
    arguments.add_argument(
        "--long-side", type=int, default=PROXY_LONG_SIDE, help="to which the clean photos are reduced"
    )
    chosen = arguments.parse_args()
    sets = (
        {"photos of the folder": photos_of(chosen.folder)}
        if chosen.folder
        else {"photos of scikit-image": packaged_photos(), "textures of scikit-image": packaged_textures()}
    )
    for name, images in sets.items():
        photos = {title: pixels(image, long_side=chosen.long_side) for title, image in images.items()}
        print(f"\n## {len(photos)} {name}, {chosen.long_side} px")
        table(photos)
        clean(photos)
    cost()


if __name__ == "__main__":
    main()
