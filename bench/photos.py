"""Photos for score.py and perceptual_hash.py: those of scikit-image (extra `bench`), or the files of a folder."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image, ImageOps

Pixels = NDArray[np.uint8]

_PACKAGED = ("astronaut", "camera", "cat", "coffee", "rocket")
# the whole image is one texture: hard for measurements that look for smooth areas or edges
_TEXTURES = ("brick", "coins", "grass", "gravel")
_MIN_SIDE = 200


def packaged_photos() -> dict[str, Image.Image]:
    data = _scikit_image_data()
    photos = {name: Image.fromarray(getattr(data, name)()).convert("RGB") for name in _PACKAGED}
    left, _, _ = data.stereo_motorcycle()
    return photos | {"motorcycle": Image.fromarray(left)}


def packaged_textures() -> dict[str, Image.Image]:
    data = _scikit_image_data()
    return {name: Image.fromarray(getattr(data, name)()).convert("RGB") for name in _TEXTURES}


def photos_of(folder: Path) -> dict[str, Image.Image]:
    """All readable images below the folder with at least 200 pixels on each side, upright, by file name."""
    pillow_heif.register_heif_opener()
    photos = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image).convert("RGB")
        except (OSError, ValueError, SyntaxError):
            continue
        if min(upright.size) >= _MIN_SIDE:
            photos[path.name] = upright
    return photos


def pixels(image: Image.Image, *, long_side: int) -> Pixels:
    """The pixels of an image, reduced so that its long side is at most ``long_side``."""
    reduction = min(1.0, long_side / max(image.size))
    size = (max(1, round(image.width * reduction)), max(1, round(image.height * reduction)))
    return np.asarray(image if reduction == 1 else image.resize(size, Image.Resampling.LANCZOS))


def _scikit_image_data() -> ModuleType:
    try:
        import skimage.data
    except ImportError as missing:
        raise SystemExit(
            "the default photos are part of scikit-image: pip install 'imagesvc[bench]', or name a folder"
        ) from missing
    data: ModuleType = skimage.data
    return data
