"""Photos for the experiments on pixels: those that scikit-image carries (extra `bench`), or the files of a folder."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image, ImageOps

Pixels = NDArray[np.uint8]

_PACKAGED = ("astronaut", "camera", "cat", "coffee", "rocket")
# every part of the picture is the same stuff: hard for whatever looks for calm places or edges
_TEXTURES = ("brick", "coins", "grass", "gravel")
_SMALLEST_SIDE = 200


def packaged_photos() -> dict[str, Image.Image]:
    data = _scikit_image_data()
    photos = {name: Image.fromarray(getattr(data, name)()).convert("RGB") for name in _PACKAGED}
    left, _, _ = data.stereo_motorcycle()
    return photos | {"motorcycle": Image.fromarray(left)}


def packaged_textures() -> dict[str, Image.Image]:
    data = _scikit_image_data()
    return {name: Image.fromarray(getattr(data, name)()).convert("RGB") for name in _TEXTURES}


def photos_of(folder: Path) -> dict[str, Image.Image]:
    """All pictures below the folder that can be read and have 200 pixels each way, upright, by name."""
    pillow_heif.register_heif_opener()
    photos = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image).convert("RGB")
        except (OSError, ValueError, SyntaxError):
            continue
        if min(upright.size) >= _SMALLEST_SIDE:
            photos[path.name] = upright
    return photos


def pixels(image: Image.Image, *, long_side: int) -> Pixels:
    """Reduced to that long side at most."""
    reduction = min(1.0, long_side / max(image.size))
    size = (max(1, round(image.width * reduction)), max(1, round(image.height * reduction)))
    return np.asarray(image if reduction == 1 else image.resize(size, Image.Resampling.LANCZOS))


def _scikit_image_data() -> ModuleType:
    try:
        import skimage.data
    except ImportError as missing:
        raise SystemExit("the photos are scikit-image's: pip install 'imagesvc[bench]', or name a folder") from missing
    data: ModuleType = skimage.data
    return data
